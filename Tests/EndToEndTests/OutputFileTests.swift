import Foundation
import ImageOutput
import TestSupport
import Testing

/// Before every script: a folder, a quick run, and an ordinary user.
private let preamble = """
    set -u; cd "$D"
    g() { "$T" generate --prompt hills --size 1x --steps 1 "$@"; }
    ordinary() {
        if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
        else "$@"; fi
    }

    """

@Suite(
    "Where results are written, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct OutputFileTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func shell(_ script: String) async throws -> CommandLineTool.Outcome {
        try await CommandLineTool.shell(preamble + script, environment: ["D": folder.path])
    }

    private func bytes(_ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    }

    /// Whether an ordinary user may run the tool at all.
    private static func isReachable() async throws -> Bool {
        let outcome = try await CommandLineTool.shell(
            preamble + "ordinary \"$T\" --version", environment: ["D": "/tmp"])
        return outcome.status == 0
    }

    @Test("links are followed, files keep their mode, new ones obey the umask")
    func linksAndModes() async throws {
        let outcome = try await shell(
            """
            mkdir real; ln -s real/a.png link.png; ln -s real/l.safetensors link.safetensors
            touch real/l.safetensors; chmod 640 real/l.safetensors
            umask 0; g --output link.png --save-latents link.safetensors || exit
            stat -c '%F %a' link.png link.safetensors; stat -c '%F %a' real/*
            umask 077; g --output private.png || exit; stat -c %a private.png
            """)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                link.png
                symbolic link 777
                symbolic link 777
                regular file 666
                regular file 640
                private.png
                600

                """, "\(outcome)")
        #expect(try bytes("real/a.png") == bytes("private.png"))
        #expect(try folder.contents == ["link.png", "link.safetensors", "private.png", "real"])
    }

    @Test(
        "results that would replace each other, or what is kept for later, are refused at the start",
        arguments: [
            ("g --output a --save-latents ./a", "name one file"),
            ("touch k; g --output k --key k --listen tcp://127.0.0.1:0", "name one file"),
            ("touch l; g --output a --save-latents l --initial-latents ./l", "name one file"),
            ("ln -s \"$D\"/a b; g --output a --save-latents b", "name one file"),
            ("g --workers 1 --output a --event-log a", "--event-log name one file"),
            ("g --output a --fault step:abort@99 --fault-log a", "--fault-log name one file"),
            ("mkdir s; g --state-dir s --output s/tiles.journal", "lies in the state folder"),
            (
                "mkdir s; g --state-dir s --output a --save-latents ./s/x",
                "lies in the state folder"
            ),
            ("g --state-dir s --output s", "lies in the state folder"),
            ("g --output /dev/stderr", "standard error"),
        ])
    func colliding(command: String, mention: String) async throws {
        let outcome = try await shell(command)
        #expect(outcome.status == 64 && outcome.errors.contains(mention), "\(outcome)")
        #expect(try !folder.contents.contains("a"))
    }

    @Test("- is standard output, and so is /dev/stdout: the picture and nothing else")
    func standardOutput() async throws {
        let outcome = try await shell(
            """
            g --output a.png >names || exit
            g --output - >dash.png || exit
            g --output /dev/stdout | cat >stdout.png; echo ${PIPESTATUS[0]}
            g --output /dev/fd/7 7>seven.png
            """)
        #expect(outcome.status == 0 && outcome.output == "0\n/dev/fd/7\n", "\(outcome)")
        let picture = try bytes("a.png")
        #expect(try bytes("names") == Data("a.png\n".utf8))
        for name in ["dash.png", "stdout.png", "seven.png"] {
            #expect(try bytes(name) == picture, "\(name)")
        }
        #expect(try !folder.contents.contains("-"))
    }

    @Test("a pipe's reader gets the picture or the latents, and the pipe stays one")
    func pipe() async throws {
        let outcome = try await shell(
            """
            mkfifo q l
            cat q >got.png & cat l >got.safetensors &
            g --output q --save-latents l || exit
            wait; stat -c %F q l
            g --output a.png --save-latents a.safetensors
            """)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "q\nfifo\nfifo\na.png\n")
        #expect(try bytes("got.png") == bytes("a.png"))
        #expect(try bytes("got.safetensors") == bytes("a.safetensors"))
    }

    @Test("a reader that goes away is one sentence and exit code 65; a state keeps the latents: 75")
    func readerGoes() async throws {
        let outcome = try await shell(
            """
            g --size 4x --output - | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}
            g --size 4x --output - --state-dir s | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}
            g --size 4x --output a.png --state-dir s --resume
            """)
        #expect(outcome.status == 0 && outcome.output == "65\n75\na.png\n", "\(outcome)")
        #expect(outcome.errors.contains("its reader went away"), "\(outcome)")
        #expect(outcome.errors.contains("the finished latents are kept"), "\(outcome)")
    }

    /// What is refused before anything is computed.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let script: String
        let mention: String
        var testDescription: String { script }
    }

    @Test(
        "what cannot be written is refused in one sentence before anything is computed",
        arguments: [
            Refusal(script: "g --output - --json", mention: "both want standard output"),
            Refusal(script: "g --output a.png --save-latents -", mention: "standard output"),
            Refusal(
                script: "script -qec \"$T generate --prompt x --output -\" /dev/null </dev/null",
                mention: "terminal"),
            Refusal(script: "mkfifo q; g --output q", mention: "nobody reads"),
            Refusal(script: "ln -s a b; ln -s b a; g --output a", mention: "circle"),
            Refusal(script: "ln -s no/such a; g --output a", mention: "no: No such file"),
            Refusal(
                script: "g --output a.png --listen tcp://127.0.0.1:0 --join -",
                mention: "--join - cannot be written"),
            Refusal(
                script: "mkfifo q; g --output a.png --listen tcp://127.0.0.1:0 --join q",
                mention: "--join q cannot be written (it is a pipe, not a file)"),
            Refusal(
                script: "\"$T\" submit --state-dir . --prompt x --output -",
                mention: "the coordinator writes the files"),
            Refusal(
                script: """
                    mkdir $'w\\xe9'; cd $'w\\xe9'
                    "$T" submit --state-dir .. --prompt x --image i.png --output a.png
                    """,
                mention: "a folder whose name is not UTF-8"),
            Refusal(script: "\"$T\" keygen --output -", mention: "--output - cannot be written"),
            Refusal(
                script: "\"$T\" bench unet --save -", mention: "--save - cannot be written"),
        ])
    func refused(_ refusal: Refusal) async throws {
        let outcome = try await shell(refusal.script)
        #expect(outcome.status == 64, "\(outcome)")
        #expect((outcome.errors + outcome.output).contains(refusal.mention), "\(outcome)")
        #expect(!outcome.errors.contains("denoising"))
        #expect(try !folder.contents.contains("-"))
    }

    @Test(
        "a write-protected file is not replaced, nor another user's",
        .enabled("an ordinary user has to reach the tool") { try await isReachable() })
    func protected() async throws {
        let outcome = try await shell(
            """
            chmod 1777 .; touch foreign; chmod 666 foreign
            ordinary touch own.png; chmod 444 own.png
            ordinary "$T" generate --prompt x --output own.png; echo $?
            if [ "$(id -u)" = 0 ]; then
                ordinary "$T" generate --prompt x --output foreign; echo $?
                ordinary ln -s foreign trap; g --output trap; echo $?
                chmod 777 .; ordinary "$T" generate --prompt x --output foreign; echo $?
            else echo 64; echo 64; echo 64; fi
            """)
        #expect(outcome.output == "64\n64\n64\n64\n", "\(outcome)")
        #expect(outcome.errors.contains("write-protected"), "\(outcome)")
        if getuid() == 0 { #expect(outcome.errors.contains("would be yours"), "\(outcome)") }
        #expect(try bytes("own.png").isEmpty && bytes("foreign").isEmpty)
    }

    @Test(
        "a folder that takes no file is named",
        .enabled("an ordinary user has to reach the tool") { try await isReachable() })
    func closedFolder() async throws {
        let outcome = try await shell(
            """
            chmod 755 .; mkdir -m 555 closed
            ordinary "$T" generate --prompt x --output closed/a.png
            """)
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("the folder closed: Permission denied"), "\(outcome)")
    }

    @Test(
        "latents are rescued under a umask that lets nobody write, too",
        .enabled("an ordinary user has to reach the tool") { try await isReachable() })
    func rescueUnderUmask() async throws {
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_out.bias", value: .nan)
        let outcome = try await shell(
            """
            chmod 755 .; chmod -R go+rX model; mkdir -m 777 open; umask 0222
            ordinary "$T" generate --model "\(model.path)" --prompt x --size 1x --steps 1 \
                --output open/a.png
            echo $?; ls open
            """)
        #expect(outcome.output == "65\na.latents.safetensors\n", "\(outcome)")
        #expect(outcome.errors.contains("open/a.latents.safetensors"), "\(outcome)")
    }

    @Test("names that are not UTF-8, or begin with a mark, are the names of the results")
    func anyBytes() async throws {
        let outcome = try await shell(
            """
            mkdir $'caf\\xe9'; cd $'caf\\xe9'; ln -s $'\\xff.png' link.png
            g --output link.png --save-latents=$'-\\xfe' || exit
            g --output $'./\\xcc\\x81\\xe9.png' || exit
            cmp $'\\xff.png' $'\\xcc\\x81\\xe9.png' && LC_ALL=C ls -b
            """)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output.hasSuffix("-\\376\nlink.png\n\\314\\201\\351.png\n\\377.png\n"),
            "\(outcome)")
    }

    @Test("the longest name works for every file of a run, and for a model folder")
    func longNames() async throws {
        let outcome = try await shell(
            """
            n=$(printf 'n%.0s' $(seq 251))
            g --output $n.png --save-latents $n.lat --listen tcp://127.0.0.1:0 --workers 1 \\
                --join $n.jon >/dev/null || exit
            "$T" synthesize tiny --output $n.dir >/dev/null || exit
            """)
        #expect(outcome.status == 0, "\(outcome)")
        let name = String(repeating: "n", count: 251)
        #expect(
            try folder.contents == [".dir", ".jon", ".lat", ".png"].map { name + $0 }, "\(outcome)")
    }

    @Test("a model folder is made where a link leads, with the mode of an empty one there")
    func linkedModel() async throws {
        let outcome = try await shell(
            """
            mkdir -m 750 real; ln -s real there; ln -s new gone
            "$T" synthesize tiny --output there >/dev/null || exit
            "$T" synthesize tiny --output gone >/dev/null || exit
            stat -c '%F %a' real there gone; ls real/model_index.json new/model_index.json
            """)
        #expect(
            outcome.output == """
                directory 750
                symbolic link 777
                symbolic link 777
                new/model_index.json
                real/model_index.json

                """, "\(outcome)")
    }

    @Test("a coordinator follows links, keeps modes, and refuses what is no file")
    func jobs() async throws {
        let coordinator = try await RunningTool([
            "coordinator", "--state-dir", folder.file("s"), "--workers", "1",
        ])
        try #require(try await coordinator.hasShown("taking jobs"), "\(coordinator.said)")
        let outcome = try await shell(
            """
            mkdir real; touch real/a.png; chmod 640 real/a.png; ln -s real/a.png l.png; mkfifo q
            job() { "$T" submit --state-dir s --prompt x --size 1x --steps 1 --watch "$@"; }
            job --id one --output l.png; echo $?
            for place in q /dev/null /dev/stdout; do job --output $place >/dev/null; echo $?; done
            stat -c '%F %a' l.png real/a.png; stat -c %F q
            """)
        coordinator.send(signal: SIGTERM)
        _ = try await coordinator.outcome()
        #expect(
            outcome.output == """
                one
                0
                64
                64
                64
                symbolic link 777
                regular file 640
                fifo

                """, "\(outcome)")
        #expect(try PNGPicture(path: folder.file("real/a.png")).width > 0)
    }
}
