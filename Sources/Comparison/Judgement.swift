/// What a judge that knows what the pictures should show says of them: `judge.py` in the recipe of
/// the model that ships writes it.
package struct Judgement: Codable, Equatable, Sendable {
    /// Of single pictures, by the names of their cases.
    package var pictures: [String: [String: Double]]
    /// Of all pictures of a method at a size, by `method size`.
    package var groups: [String: [String: Double]]
    /// What could not be judged and why, for people.
    package var missing: [String]

    package init(
        pictures: [String: [String: Double]] = [:], groups: [String: [String: Double]] = [:],
        missing: [String] = []
    ) {
        self.pictures = pictures
        self.groups = groups
        self.missing = missing
    }

    /// The columns that a judge may fill, in the page's order.
    static let figures: [(key: String, title: String, explanation: String)] = [
        ("horizons", "horizons", "mean number; a landscape has 1"),
        (
            "right_suns", "right suns",
            "share of pictures with as many suns or moons as the prompt has"
        ),
        ("detail", "detail", "mean squared gradient, in proportion to renders of such scenes"),
        ("patch_frechet", "patch distance", "Fréchet distance of 128-pixel patches to renders'"),
        ("frechet", "distance", "Fréchet distance of whole pictures to renders"),
        ("border_energy", "borders", "colour steps where windows end, in proportion to elsewhere"),
    ]
}

/// A `judgement.json` that cannot be read.
package struct JudgementError: Error, CustomStringConvertible {
    let path: String
    let reason: String

    package var description: String {
        "\(path) cannot be read (\(reason)); run the judge again, or remove the file"
    }
}
