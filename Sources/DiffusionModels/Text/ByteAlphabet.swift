/// GPT-2's printable stand-in for every byte, which byte-level BPE files are written in: bytes
/// that print stand for themselves, the others for the characters from U+0100 on, in order.
enum ByteAlphabet {
    /// The character of each byte.
    static let characters: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (0..<256).map { (byte: UInt32) in
            let isPrintable =
                (33...126).contains(byte) || (161...172).contains(byte)
                || (174...255).contains(byte)
            let code = isPrintable ? byte : next
            if !isPrintable { next += 1 }
            guard let scalar = Unicode.Scalar(code) else {
                preconditionFailure("codes below 0x200 are characters")
            }
            return scalar
        }
    }()

    /// The byte that a character stands for.
    static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
        uniqueKeysWithValues: characters.enumerated().map { ($1, UInt8($0)) }
    )

    /// All bytes in the order that vocabularies list them: those that print, then the others.
    static let vocabularyOrder: [UInt8] =
        (0..<256).map { UInt8($0) }.sorted { characters[Int($0)].value < characters[Int($1)].value }
}
