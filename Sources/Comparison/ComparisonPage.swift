internal import Foundation

/// One self-contained HTML page: a table of the methods at each size, and contact sheets with a
/// row for each method and a column for each seed.
package struct ComparisonPage {
    /// A case with what came of it and the bytes of its two PNG files, where it has them.
    package struct Entry {
        package let record: ComparisonRecord
        let reduced: [UInt8]
        let detail: [UInt8]

        package init(record: ComparisonRecord, reduced: [UInt8], detail: [UInt8]) {
            self.record = record
            self.reduced = reduced
            self.detail = detail
        }
    }

    /// In the order in which rows and columns come.
    private let entries: [Entry]
    private let judgement: Judgement?
    private let machine: String

    /// `machine` is a line for people on what computed.
    package init(entries: [Entry], judgement: Judgement?, machine: String) {
        self.entries = entries
        self.judgement = judgement
        self.machine = machine
    }

    package var html: String {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>tessera compare</title>
        <meta name="viewport" content="width=device-width"><style>\(Self.style)</style></head><body>
        <h1>Methods compared</h1>
        <p>\(machine.escaped)</p>
        \(sizes.map(table).joined(separator: "\n"))
        \(missing)
        \(sheets)
        <dialog id="zoom"><img alt=""><p></p></dialog>
        <script>\(Self.script)</script>
        </body></html>

        """
    }

    // MARK: - Tables

    private var sizes: [String] { entries.map(\.record.case.size).unique }
    private var methods: [String] { entries.map(\.record.case.method).unique }
    private var judged: [(key: String, title: String, explanation: String)] {
        Judgement.figures.filter { figure in
            judgement?.groups.values.contains { $0[figure.key] != nil } ?? false
        }
    }

    private func table(of size: String) -> String {
        let heads =
            ["method", "pictures", "views", "seconds", "peak memory"].map { "<th>\($0)</th>" }
            + judged.map { "<th title=\"\($0.explanation.escaped)\">\($0.title)</th>" }
        return """
            <h2>\(size.escaped)</h2>
            <table><thead><tr>\(heads.joined())</tr></thead><tbody>
            \(methods.map { row(of: $0, at: size) }.joined(separator: "\n"))
            </tbody></table>
            """
    }

    private func row(of method: String, at size: String) -> String {
        let own = entries.map(\.record).filter { $0.case.method == method && $0.case.size == size }
        let figures = own.compactMap(\.figures)
        guard !figures.isEmpty else {
            return "<tr><th>\(method.escaped)</th><td colspan=\"\(4 + judged.count)\">"
                + "\((own.compactMap(\.failure).first ?? "").escaped)</td></tr>"
        }
        var cells = [
            "\(figures.count)", "\(median(figures.map { Double($0.views) }).rounded(to: 0))",
            median(figures.map(\.seconds)).rounded(to: 1),
            "\((figures.map(\.peakBytes).max() ?? 0) >> 20) MiB",
        ]
        let group = judgement?.groups["\(method) \(size)"] ?? [:]
        cells += judged.map { group[$0.key]?.rounded(to: 3) ?? "" }
        return "<tr><th>\(method.escaped)</th>"
            + cells.map { "<td>\($0)</td>" }.joined() + "</tr>"
    }

    /// What a reader might look for in vain.
    private var missing: String {
        guard let judgement else {
            return """
                <p>Not judged: horizons, suns, detail, and distances to true pictures are missing. For \
                the model that ships, run <code>judge.py</code> of its recipe on this folder, then \
                the same <code>tessera compare</code> again.</p>
                """
        }
        let explanations = judged.map { "<b>\($0.title)</b>: \($0.explanation.escaped)" }
        let lines = [explanations.joined(separator: "; ")] + judgement.missing.map(\.escaped)
        return lines.filter { !$0.isEmpty }.map { "<p>\($0)</p>" }.joined()
    }

    // MARK: - Contact sheets

    private var sheets: String {
        sizes.flatMap { size in
            entries.map(\.record.case.promptNumber).unique.map { sheet(at: size, prompt: $0) }
        }.joined(separator: "\n")
    }

    private func sheet(at size: String, prompt: Int) -> String {
        let own = entries.filter {
            $0.record.case.size == size && $0.record.case.promptNumber == prompt
        }
        let rows = methods.map { method in
            let cells = own.filter { $0.record.case.method == method }.map(cell)
            return "<tr><th>\(method.escaped)</th>\(cells.joined())</tr>"
        }
        return """
            <h2>\(size.escaped): \((own.first?.record.case.prompt ?? "").escaped)</h2>
            <table class="sheet"><tbody>\(rows.joined(separator: "\n"))</tbody></table>
            """
    }

    private func cell(of entry: Entry) -> String {
        let `case` = entry.record.case
        guard entry.record.figures != nil else { return "<td>–</td>" }
        let seen = judgement?.pictures[`case`.name]
        let notes = Judgement.figures.compactMap { figure in
            seen?[figure.key].map { "\(figure.title) \($0.rounded(to: 2))" }
        }
        let caption = (["seed \(`case`.seed)"] + notes).joined(separator: ", ")
        return """
            <td><img src="\(entry.reduced.dataAddress)" data-detail="\(entry.detail.dataAddress)" \
            data-file="pictures/\(`case`.name.escaped).png" alt="\(`case`.name.escaped)" \
            title="\(caption.escaped)"><br>\(caption.escaped)</td>
            """
    }

    private static let style = """
        body{font:15px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
        table{border-collapse:collapse}td,th{padding:.25em .7em;text-align:right}
        th:first-child{text-align:left}thead th{border-bottom:1px solid #999}
        .sheet td{padding:.2em;text-align:center;font-size:12px}.sheet img{width:192px;cursor:zoom-in}
        dialog{border:0;padding:1em;max-width:96vw}dialog img{max-width:92vw;cursor:pointer}
        """

    /// A click shows the picture's middle at full size; another one the whole; the file opens from
    /// the link beneath where it lies beside the page.
    private static let script = """
        const zoom=document.getElementById('zoom'),shown=zoom.querySelector('img'),\
        note=zoom.querySelector('p');
        document.querySelectorAll('.sheet img').forEach(i=>i.onclick=()=>{\
        const turns=[i.dataset.detail,i.src];let turn=0;\
        const show=()=>{shown.src=turns[turn%2];\
        note.innerHTML=(turn%2?'reduced':'its middle, pixel by pixel')+' – click to change – '\
        +`<a href="${i.dataset.file}">the file</a>`};\
        shown.onclick=()=>{turn++;show()};show();zoom.showModal()});
        zoom.onclick=e=>{if(e.target===zoom)zoom.close()};
        """
}

private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

extension Double {
    fileprivate func rounded(to digits: Int) -> String { String(format: "%.\(digits)f", self) }
}

extension [UInt8] {
    fileprivate var dataAddress: String {
        "data:image/png;base64,\(Data(self).base64EncodedString())"
    }
}

extension Sequence where Element: Hashable {
    /// Each once, where it comes first.
    fileprivate var unique: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}

extension String {
    /// For text and attributes of HTML.
    fileprivate var escaped: String {
        replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
            .replacingOccurrences(of: ">", with: "&gt;")
            .replacingOccurrences(of: "\"", with: "&quot;")
    }
}
