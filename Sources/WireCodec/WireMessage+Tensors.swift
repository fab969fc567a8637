internal import ClusterCore
internal import Denoising
internal import Tensors

// Which tensors belong to which message, under which names.

extension WireMessage {
    /// The tensors that travel with the message, in frame order.
    var tensors: [WireTensor] {
        switch self {
        case .asset(let conditioning): conditioning.tensors
        case .task(_, let item, _): item.tensors
        case .result(_, let answer, _, _): answer.tensors
        default: []
        }
    }
}

extension Conditioning {
    fileprivate static let promptName = "prompt"
    fileprivate static let negativeName = "negative"

    fileprivate var tensors: [WireTensor] {
        Self.tensors(of: prompt, named: Self.promptName)
            + Self.tensors(of: negative, named: Self.negativeName)
    }

    private static func tensors(of embedding: PromptEmbedding, named name: String) -> [WireTensor] {
        let hidden = WireTensor("\(name).hidden", embedding.hiddenStates)
        guard let pooled = embedding.pooled else { return [hidden] }
        return [hidden, WireTensor("\(name).pooled", pooled)]
    }

    init(tensors: [WireTensor]) throws(WireError) {
        var rest = tensors[...]
        let prompt = try Self.embedding(named: Self.promptName, from: &rest)
        let negative = try Self.embedding(named: Self.negativeName, from: &rest)
        guard rest.isEmpty else { throw .malformed("an asset has \(rest.count) tensors too many") }
        self.init(prompt: prompt, negative: negative)
    }

    private static func embedding(
        named name: String,
        from tensors: inout ArraySlice<WireTensor>
    ) throws(WireError) -> PromptEmbedding {
        guard let hidden = tensors.popFirst() else {
            throw .malformed("an asset without tensor '\(name).hidden'")
        }
        let states = try hidden.tensor(named: "\(name).hidden", rank: 2)
        var pooled: Tensor?
        if let next = tensors.first, next.name == "\(name).pooled" {
            tensors.removeFirst()
            pooled = try next.tensor(named: next.name, rank: 1)
        }
        return PromptEmbedding(hiddenStates: states, pooled: pooled)
    }
}

extension WorkItem {
    var tensors: [WireTensor] {
        switch self {
        case .denoise(let task):
            task.views.indices.map { WireTensor("view.\($0)", task.views[$0].sample) }
        case .decode(let task): [WireTensor("tile", task.tile)]
        case .encode(let task): [WireTensor("pixels", task.pixels)]
        }
    }
}

extension WorkAnswer {
    fileprivate var tensors: [WireTensor] {
        switch self {
        case .denoise(let predictions):
            predictions.indices.map { WireTensor("prediction.\($0)", predictions[$0]) }
        case .decode(let tile):
            [
                WireTensor(
                    name: "pixels", shape: [tile.height, tile.width, 3],
                    elements: .uint8(tile.bytes))
            ]
        case .pixels(let pixels): [WireTensor("pixels", pixels)]
        case .encode(let latent): [WireTensor("latent", latent)]
        }
    }

    init(kind: TaskKind, tensors: [WireTensor]) throws(WireError) {
        switch kind {
        case .denoise:
            var predictions: [Latent] = []
            for (index, tensor) in tensors.enumerated() {
                predictions.append(try tensor.latent(named: "prediction.\(index)"))
            }
            self = .denoise(predictions)
        case .decode:
            self = try Self.decoded(tensors)
        case .encode:
            guard tensors.count == 1 else {
                throw .malformed("an encoded tile is one tensor, \(tensors.count) came")
            }
            self = .encode(try tensors[0].latent(named: "latent"))
        }
    }

    /// Bytes come as (h, w, 3), floats as (3, h, w): their type tells which.
    private static func decoded(_ tensors: [WireTensor]) throws(WireError) -> WorkAnswer {
        guard tensors.count == 1, let tensor = tensors.first, tensor.name == "pixels",
            tensor.shape.count == 3
        else { throw .malformed("a decoded tile is one tensor 'pixels' of three axes") }
        switch tensor.elements {
        case .uint8(let bytes):
            guard tensor.shape[2] == 3 else {
                throw .malformed("8-bit pixels are (h, w, 3), got \(tensor.shape)")
            }
            return .decode(
                RGBTile(height: tensor.shape[0], width: tensor.shape[1], bytes: bytes))
        case .float32:
            return .pixels(try tensor.picture(named: "pixels"))
        }
    }
}

extension WireTensor {
    fileprivate init(_ name: String, _ tensor: Tensor) {
        self.init(name: name, shape: tensor.shape.extents, elements: .float32(tensor.elements))
    }

    /// A latent travels as (channels, height, width).
    fileprivate init(_ name: String, _ latent: Latent) {
        self.init(
            name: name,
            shape: [latent.channels, latent.height, latent.width],
            elements: .float32(latent.values)
        )
    }

    /// A picture travels as (3, height, width).
    fileprivate init(_ name: String, _ picture: RGBImage) {
        self.init(
            name: name, shape: [3, picture.height, picture.width],
            elements: .float32(picture.values))
    }

    func picture(named expected: String) throws(WireError) -> RGBImage {
        let values = try floats(named: expected, rank: 3)
        guard shape[0] == 3 else { throw .malformed("pixels are (3, h, w), got \(shape)") }
        return RGBImage(height: shape[1], width: shape[2], values: values)
    }

    func latent(named expected: String) throws(WireError) -> Latent {
        let values = try floats(named: expected, rank: 3)
        return Latent(channels: shape[0], height: shape[1], width: shape[2], values: values)
    }

    fileprivate func tensor(named expected: String, rank: Int) throws(WireError) -> Tensor {
        Tensor(shape: Shape(shape), elements: try floats(named: expected, rank: rank))
    }

    private func floats(named expected: String, rank: Int) throws(WireError) -> [Float] {
        guard name == expected, shape.count == rank, case .float32(let values) = elements else {
            throw .malformed(
                "expected float32 tensor '\(expected)' of \(rank) axes, got '\(name)' of shape "
                    + "\(shape)")
        }
        return values
    }
}
