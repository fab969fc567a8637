internal import DiffusionModels
package import DurableFiles
internal import Glibc
package import Tensors

/// Finished latents that nothing keeps, when the picture that was to come of them does not.
package enum LatentRescue {
    /// Names that are tried when others are taken.
    private static let tries = 99
    /// Leaves room for what follows it in a name of 255 bytes.
    private static let longestStem = 200

    /// Writes them beside the picture's place as `<picture>.latents.safetensors`, or under the next
    /// number where there is such a file; in the first of `folders` that takes them when that place
    /// does not, as when its folder is gone. Returns the file; nil when no disk takes it.
    package static func write(
        _ latent: Latent, beside output: OutputPlace, orIn folders: [String]
    ) -> String? {
        let (folder, stem) = place(of: output)
        for folder in [folder] + folders {
            let start =
                folder.isEmpty || folder.utf8.last == UInt8(ascii: "/") ? folder : folder + "/"
            if let path = write(latent, as: start + stem) {
                return path
            }
        }
        return nil
    }

    private static func write(_ latent: Latent, as stem: String) -> String? {
        for number in 1...tries {
            let path = "\(stem).latents\(number == 1 ? "" : "-\(number)").safetensors"
            // Taken before it is written: a file that is there is never replaced.
            let claim = unsafe open(
                SystemPath.cString(path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if claim < 0, errno == EEXIST { continue }
            guard claim >= 0 else { return nil }
            // Under a umask without it what was claimed could not be replaced.
            var status = stat()
            if unsafe fstat(claim, &status) == 0, status.st_mode & S_IWUSR == 0 {
                fchmod(claim, status.st_mode & 0o777 | S_IWUSR)
            }
            close(claim)
            do {
                try LatentFile.write(latent, to: .file(path))
                return path
            } catch {
                unsafe unlink(SystemPath.cString(path))
                return nil
            }
        }
        return nil
    }

    /// The picture's folder and its name without the ending. A picture that goes to no regular file
    /// has no place: the working folder's then, which an empty name stands for.
    private static func place(of output: OutputPlace) -> (folder: String, stem: String) {
        guard case .file(let path) = output else { return ("", "picture") }
        let (folder, name) = folderAndName(of: path)
        let end = name.lastIndex(of: ".") ?? name.endIndex
        var stem = end == name.startIndex ? name : String(name[..<end])
        while SystemPath.bytes(of: stem).count > longestStem { stem.removeLast() }
        return (path.utf8.contains(UInt8(ascii: "/")) ? folder : "", stem)
    }
}
