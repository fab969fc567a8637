import Foundation
import TestSupport
import Testing

@Suite("The fault matrix's list of tests", .watched)
struct ChaosListTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every test source of the package.
    private static func sources() throws -> String {
        let tests = root.appendingPathComponent("Tests")
        let paths = try FileManager.default.subpathsOfDirectory(atPath: tests.path)
        return try paths.filter { $0.hasSuffix(".swift") }.map {
            try String(contentsOf: tests.appendingPathComponent($0), encoding: .utf8)
        }.joined(separator: "\n")
    }

    @Test("every test that is named as a proof is there, under that very title")
    func namesExist() throws {
        let list = try String(
            contentsOf: Self.root.appendingPathComponent("cluster/chaos/tests.tsv"),
            encoding: .utf8)
        let sources = try Self.sources()
        let lines = list.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.count > 20)
        for line in lines {
            let fields = line.split(separator: "\t")
            try #require(fields.count == 4, "\(line)")
            #expect(sources.contains("\"\(fields[2])\""), "row \(fields[0]): \(fields[2])")
        }
    }

    @Test("every row of the matrix says what shows it, or why nothing can")
    func rowsAreComplete() throws {
        let page = try String(
            contentsOf: Self.root.appendingPathComponent("cluster/chaos/README.md"),
            encoding: .utf8)
        for row in 1...64 {
            #expect(page.contains("\n| \(row) | "), "row \(row)")
        }
    }
}
