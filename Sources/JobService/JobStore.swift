internal import DurableFiles
internal import Foundation

/// Jobs on disk: a folder for each, with `job.json` and what a run of the job keeps beside it.
package struct JobStore: Sendable {
    private let folder: String

    private static let recordName = "job.json"

    /// `folder` is created when it is not there. Throws ``FileFailure``.
    package init(folder: String) throws {
        self.folder = folder
        try makeFolder(folder)
    }

    /// Where a run of the job keeps its state.
    package func path(of id: String) -> String { folder + "/" + id }

    /// All jobs, in their order, and what is wrong with those that cannot be read.
    package func load() throws -> (jobs: [JobRecord], problems: [String]) {
        var (jobs, problems): ([JobRecord], [String]) = ([], [])
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let file = path(of: name) + "/" + Self.recordName
            AtomicFile.removeAbandoned(for: file)
            guard let bytes = try readSmallFile(file) else {
                // Made for a job whose submission was never answered.
                unsafe rmdir(path(of: name))
                continue
            }
            guard let job = try? JSONDecoder().decode(JobRecord.self, from: Data(bytes)),
                job.format <= JobRecord.currentFormat, job.id == name
            else {
                problems.append(
                    "\(file) is damaged or of a newer version, and the job is passed over")
                continue
            }
            jobs.append(job)
        }
        return (jobs.sorted { $0.sequence < $1.sequence }, problems)
    }

    /// The record is on disk when this returns. Throws ``FileFailure``.
    package func write(_ job: JobRecord) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try makeFolder(path(of: job.id))
        try AtomicFile.write(
            Array(try encoder.encode(job)) + [UInt8(ascii: "\n")],
            to: path(of: job.id) + "/" + Self.recordName, access: .anyUser)
    }

    /// Removes what the job's runs have kept, and leaves its record.
    package func removeWork(of id: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path(of: id))) ?? []
        for name in names where name != Self.recordName {
            try? FileManager.default.removeItem(atPath: path(of: id) + "/" + name)
        }
    }

    package func remove(_ id: String) {
        try? FileManager.default.removeItem(atPath: path(of: id))
    }
}
