package import DurableFiles
internal import Foundation
internal import Tensors

/// A folder that a comparison grows in, so that it goes on where it was ended.
///
/// | in it | what |
/// |---|---|
/// | `pictures/NAME.png` | the pictures |
/// | `records/NAME.json` | what each run said of itself, written when its picture is there |
/// | `thumbnails/` | what the page shows |
/// | `state/` | the state folder of the picture under way |
/// | `judgement.json` | what a judge said of the pictures, if one did (``Judgement``) |
/// | `comparison.html` | the page |
package struct ComparisonFolder: Sendable {
    package let path: String

    /// Makes the folder and those in it where they are not there. Throws ``FileFailure``.
    package init(path: String) throws(FileFailure) {
        self.path = path
        for name in ["pictures", "records", "thumbnails", "state"] {
            try makeFolder(path + "/" + name)
        }
    }

    package func picture(of case: ComparisonCase) -> String {
        "\(path)/pictures/\(`case`.name).png"
    }
    package func thumbnail(of case: ComparisonCase) -> String {
        "\(path)/thumbnails/\(`case`.name).png"
    }
    package func detail(of case: ComparisonCase) -> String {
        "\(path)/thumbnails/\(`case`.name)-detail.png"
    }
    /// Another one for every `origin`: what was begun otherwise cannot be gone on with.
    package func state(of case: ComparisonCase, origin: [String]) -> String {
        var digest = Fingerprinter()
        for part in origin { digest.add(part) }
        return "\(path)/state/\(`case`.name)-\(digest.fingerprint)"
    }
    package var page: String { "\(path)/comparison.html" }

    private func recordPath(of case: ComparisonCase) -> String {
        "\(path)/records/\(`case`.name).json"
    }

    /// The picture that is there already, made by `origin`; nil when it has to be made.
    package func record(of case: ComparisonCase, origin: [String]) -> ComparisonRecord? {
        guard let bytes = try? readSmallFile(recordPath(of: `case`)),
            let record = try? JSONDecoder().decode(ComparisonRecord.self, from: Data(bytes)),
            record.case == `case`, record.origin == origin, record.figures != nil,
            Self.isWhole(picture(of: `case`))
        else { return nil }
        return record
    }

    /// Whether a file ends as a PNG does (PNG specification, 11.2.5); one that was cut short does not.
    private static func isWhole(_ path: String) -> Bool {
        let end: [UInt8] = [0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82]
        guard let file = FileHandle(forReadingAtPath: path) else { return false }
        defer { try? file.close() }
        guard let length = try? file.seekToEnd(), length >= UInt64(end.count),
            (try? file.seek(toOffset: length - UInt64(end.count))) != nil
        else { return false }
        return (try? file.readToEnd()).map(Array.init) == end
    }

    /// Puts down what came of a case, and lets go of its state folder when it is a picture.
    /// Throws ``FileFailure``.
    package func keep(_ record: ComparisonRecord) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(record)) + [UInt8(ascii: "\n")]
        try AtomicFile.write(bytes, to: recordPath(of: record.case))
        guard record.figures != nil else { return }
        try? FileManager.default.removeItem(atPath: state(of: record.case, origin: record.origin))
    }

    /// Nil when no judge was here. Throws ``JudgementError`` when what one left cannot be read.
    package func judgement() throws -> Judgement? {
        let file = "\(path)/judgement.json"
        guard let bytes = try readSmallFile(file, limit: 1 << 26) else { return nil }
        do { return try JSONDecoder().decode(Judgement.self, from: Data(bytes)) } catch {
            throw JudgementError(path: file, reason: "\(error)")
        }
    }
}
