import Tensors

@testable import DiffusionModels

/// Any configuration file of a model: it is refused, or its network's every tensor has a shape.
enum ConfigurationTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard case .object(let object)? = try? JSONParser.parse(input) else { return }
        let fields = ConfigurationFields(path: "config.json", object: object)
        if let unet = try? UNetConfiguration(fields: fields) { check(unet.parameters) }
        if let vae = try? VAEConfiguration(fields: fields) {
            check(vae.decoderParameters + vae.encoderParameters)
        }
        if let text = try? CLIPTextConfiguration(fields: fields) { check(text.parameters) }
    }

    private static func check(_ parameters: [ParameterShape]) {
        for parameter in parameters where parameter.shape.count < 1 {
            broken("\(parameter.name) has the shape \(parameter.shape)")
        }
    }

    static var seeds: [String: [UInt8]] {
        [
            "unet": #"{"sample_size":8,"down_block_types":["DownBlock2D","CrossAttnDownBlock2D"],"#
                + #""up_block_types":["CrossAttnUpBlock2D","UpBlock2D"],"#
                + #""block_out_channels":[32,64],"norm_num_groups":8,"layers_per_block":1,"#
                + #""attention_head_dim":[1,2],"cross_attention_dim":16,"#
                + #""addition_embed_type":"text_time","addition_time_embed_dim":8,"#
                + #""projection_class_embeddings_input_dim":64}"#,
            "vae": #"{"up_block_types":["UpDecoderBlock2D","UpDecoderBlock2D"],"#
                + #""block_out_channels":[32,64],"norm_num_groups":8}"#,
            "text": #"{"architectures":["CLIPTextModelWithProjection"],"hidden_size":16,"#
                + #""num_attention_heads":2,"num_hidden_layers":1,"projection_dim":8}"#,
            "hostile-numbers": #"{"up_block_types":["UpDecoderBlock2D"],"#
                + #""block_out_channels":[9223372036854775807],"norm_num_groups":0}"#,
            "hostile-blocks": #"{"sample_size":[1,2],"down_block_types":[],"up_block_types":[]}"#,
        ].mapValues { Array($0.utf8) }
    }
}
