package import Denoising

/// A part of a picture that shows something of its own: `x,y,width,height:text`, in pixels from the
/// top left corner.
package struct PromptRegion: Hashable, Sendable, CustomStringConvertible {
    package let rectangle: Rectangle
    /// What it shows.
    package let text: String

    package init(_ rectangle: Rectangle, text: String) {
        self.rectangle = rectangle
        self.text = text
    }

    /// As it is written. Throws ``RequestError/region(_:)`` for what is no region.
    package init(_ written: String) throws(RequestError) {
        guard let colon = written.firstIndex(of: ":") else { throw .region(written) }
        let numbers = written[..<colon].split(separator: ",", omittingEmptySubsequences: false)
            .map { Int($0) }
        let text = String(written[written.index(after: colon)...])
        guard numbers.count == 4, let x = numbers[0], let y = numbers[1], let width = numbers[2],
            let height = numbers[3], text.contains(where: { !$0.isWhitespace })
        else { throw .region(written) }
        self.init(Rectangle(x: x, y: y, width: width, height: height), text: text)
    }

    package var description: String {
        "\(rectangle.x),\(rectangle.y),\(rectangle.width),\(rectangle.height):\(text)"
    }
}

/// What a picture and its regions show. As JSON it is the prompt, or, with regions, a list of the
/// prompt and theirs: a program that knows no regions reads no list where it expects a prompt,
/// instead of making another picture.
struct Prompts: Codable, Equatable, Sendable {
    /// What is outside of the regions.
    var prompt: String
    var regions: [PromptRegion]

    init(prompt: String, regions: [PromptRegion] = []) {
        (self.prompt, self.regions) = (prompt, regions)
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let texts = try? container.decode([String].self) else {
            self.init(prompt: try container.decode(String.self))
            return
        }
        guard let first = texts.first else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "a list of prompts begins with the picture's")
        }
        do {
            self.init(prompt: first, regions: try texts.dropFirst().map { try PromptRegion($0) })
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(error)")
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        guard !regions.isEmpty else { return try container.encode(prompt) }
        try container.encode([prompt] + regions.map(\.description))
    }
}
