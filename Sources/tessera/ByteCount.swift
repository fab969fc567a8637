import ArgumentParser

/// An amount of memory on the command line: `0`, `300M`, `1.5G`, in powers of 1024.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
    let bytes: Int

    private static let units: [(suffix: Character, bytes: Double)] = [
        ("K", 0x1p10), ("M", 0x1p20), ("G", 0x1p30), ("T", 0x1p40),
    ]

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let unit = Self.units.first { argument.uppercased().last == $0.suffix }
        let digits = unit == nil ? argument[...] : argument.dropLast()
        guard let number = Double(digits), number >= 0, number * (unit?.bytes ?? 1) < 0x1p60 else {
            return nil
        }
        bytes = Int(number * (unit?.bytes ?? 1))
    }

    /// `512M`, in the largest unit that gives a whole number.
    var description: String {
        for unit in Self.units.reversed() {
            let size = Int(unit.bytes)
            if bytes >= size, bytes % size == 0 { return "\(bytes / size)\(unit.suffix)" }
        }
        return "\(bytes)"
    }

    var defaultValueDescription: String { description }
}
