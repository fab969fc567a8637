import ComputeBackends
import Foundation

/// What one operation of a network takes.
struct LayerReport: Encodable {
    /// In the order of computing, from 0.
    let index: Int
    let kind: String
    /// As the model's file spells it; empty for operations without weights of their own.
    let name: String
    let shape: String
    /// The median over the profiled runs.
    let seconds: Double
    /// Of the sum over all operations.
    let share: Double
    let gflop: Double
    let gflops: Double
    /// Operands and result, each moved once, per second.
    let gigabytesPerSecond: Double

    /// The layers of a network from several runs of it, all of the same operations.
    static func layers(of runs: [[OperationRecord]]) -> [LayerReport] {
        guard let first = runs.first else { return [] }
        let times = first.indices.map { index in
            Timing(runs.map { $0[index].duration / .seconds(1) }).medianSeconds
        }
        let total = times.reduce(0, +)
        return zip(first, times).enumerated().map { index, layer in
            let (record, seconds) = layer
            return LayerReport(
                index: index, kind: record.kind.rawValue, name: record.name, shape: record.shape,
                seconds: seconds, share: seconds / total, gflop: record.flops * 1e-9,
                gflops: record.flops * 1e-9 / seconds,
                gigabytesPerSecond: record.bytes * 1e-9 / seconds)
        }
    }
}

extension [LayerReport] {
    /// For people: every layer in order, then equal layers together and then kinds, most
    /// expensive first.
    var text: String {
        let columns = ["seconds", "share", "GFLOP/s", "GB/s", "count", "kind", "shape"]
        var lines = TextTable(columns: columns + ["name"], wordColumns: 3)
        for layer in self { lines.add(Self.row([layer], shape: layer.shape) + [layer.name]) }
        let equal = Self.groups(self) { "\($0.kind) \($0.shape)" }
        var shapes = TextTable(columns: columns, wordColumns: 2)
        for group in equal { shapes.add(Self.row(group, shape: group[0].shape)) }
        var kinds = TextTable(columns: columns.dropLast(), wordColumns: 1)
        for group in Self.groups(self, by: \.kind) {
            kinds.add(Self.row(group, shape: "").dropLast())
        }
        return [lines.text, shapes.text, kinds.text].joined(separator: "\n\n")
    }

    private static func groups(
        _ layers: [LayerReport], by key: (LayerReport) -> String
    ) -> [[LayerReport]] {
        Dictionary(grouping: layers, by: key).values.sorted { a, b in
            let (left, right) = (a.reduce(0) { $0 + $1.seconds }, b.reduce(0) { $0 + $1.seconds })
            return left == right ? a[0].index < b[0].index : left > right
        }
    }

    private static func row(_ group: [LayerReport], shape: String) -> [String] {
        let seconds = group.reduce(0) { $0 + $1.seconds }
        let gigabytes = group.reduce(0) { $0 + $1.gigabytesPerSecond * $1.seconds }
        let gflop = group.reduce(0) { $0 + $1.gflop }
        return [
            secondsText(seconds),
            String(format: "%.1f %%", 100 * group.reduce(0) { $0 + $1.share }),
            gflop == 0 ? "" : String(format: "%.1f", gflop / seconds),
            String(format: "%.1f", gigabytes / seconds),
            "\(group.count)", group[0].kind, shape,
        ]
    }
}

/// Rows under headings: numbers to the right of their columns, words to the left.
struct TextTable {
    private var rows: [[String]]
    private let wordColumns: Int

    /// The last `wordColumns` columns hold words.
    init(columns: [String], wordColumns: Int) {
        rows = [columns]
        self.wordColumns = wordColumns
    }

    /// Appends a row of as many cells as there are columns.
    mutating func add(_ row: [String]) { rows.append(row) }

    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let numbers = widths.count - wordColumns
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let blank = String(repeating: " ", count: widths[column] - cell.count)
                if column < numbers { return blank + cell }
                return column == widths.count - 1 ? cell : cell + blank
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
