internal import Foundation
internal import Sampling

extension ModelFolder {
    /// Decodes a `scheduler_config.json`; what its values mean is checked when a scheduler is made.
    /// Its class is its own, else the index's, `className`.
    static func readScheduler(
        _ path: String, className: String? = nil
    ) throws(WeightsError) -> SchedulerConfiguration {
        let bytes = try readFile(
            path, limit: 1 << 20, adviceWhenMissing: "complete the model folder")
        // Our own parser first: it says where a text stops being JSON.
        guard case .object = try parseJSON(bytes, path: path) else {
            throw .malformed(path: path, reason: "expected a JSON object")
        }
        do {
            var configuration = try JSONDecoder().decode(
                SchedulerConfiguration.self, from: Data(bytes))
            guard let own = configuration.className else {
                configuration.className = className
                return configuration
            }
            if className != own { configuration.indexClassName = className }
            return configuration
        } catch DecodingError.typeMismatch(let type, let context),
            DecodingError.valueNotFound(let type, let context)
        {
            throw .field(
                path: path, field: context.codingPath.map(\.stringValue).joined(separator: "."),
                expected: "\(type)", found: "another kind of value")
        } catch {
            throw .malformed(path: path, reason: "\(error)")
        }
    }
}
