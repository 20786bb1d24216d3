import ArgumentParser
import VDriveClient
import VDriveProtocol

struct Upload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What goes to the remote.",
        subcommands: [Queue.self, Pause.self, Resume.self]
    )

    struct Queue: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows what waits to be uploaded, and what is on its way."
        )

        private static let columns = ["CHUNK", "STATE", "DIRTY", "AGE", "RETRIES"]

        @Argument(help: "The disk's name.") var name: String
        @Option(help: "How many chunks to list, up to 5000; 100 when left out.") var limit: Int?
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(
                UploadQueueOf.self,
                UploadQueueOf.Parameters(name: name, limit: limit),
                as: output,
                Self.text
            )
        }

        private static func text(_ queue: UploadQueueOf.Output) -> Shown {
            let paused = queue.paused ? ", paused" : ""
            var lines: [Shown] = [
                "\(queue.name): \(ByteSize.text(queue.dirtyBytes)) to upload in \(count(queue.totalChunks))\(paused)"
            ]
            if let epoch = queue.epoch {
                lines.append(
                    "epoch \(epoch.epoch) \(epoch.stage.rawValue) for \(seconds(epoch.ageSeconds)): "
                        + "\(epoch.uploadedChunks) of \(count(epoch.chunks)) on the remote, "
                        + "\(queue.uploadingChunks) on the way"
                )
            }
            guard !queue.chunks.isEmpty else { return Shown(lines: lines) }
            var table = Table(columns: columns, style: .standardOutput)
            for chunk in queue.chunks {
                table.add([
                    "\(chunk.index)", chunk.state.rawValue, ByteSize.text(chunk.dirtyBytes),
                    chunk.ageSeconds.map(seconds) ?? "-", "\(chunk.retries)",
                ])
            }
            lines.append(Shown(table))
            if queue.totalChunks > queue.chunks.count {
                lines.append("and \(queue.totalChunks - queue.chunks.count) more")
            }
            return Shown(lines: lines)
        }

        private static func count(_ chunks: Int) -> String { "\(chunks) \(chunks == 1 ? "chunk" : "chunks")" }

        private static func seconds(_ seconds: Double) -> String {
            let tenths = Int((seconds * 10).rounded())
            return "\(tenths / 10).\(tenths % 10) s"
        }
    }

    struct Pause: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Uploads nothing more until resume; what is written waits on this machine.",
            discussion: """
                A sync and a detach upload all the same. With remote durability an fsync waits for resume, and so do \
                writers once the cache is full. The pause ends with the detach, and when the daemon ends.
                """
        )

        @Argument(help: "The disk's name.") var name: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(UploadPause.self, DiskNameParameters(name: name), as: output) { status in
                "paused the uploads of \(status.name)"
            }
        }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Uploads again, from where the pause held it.")

        @Argument(help: "The disk's name.") var name: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(UploadResume.self, DiskNameParameters(name: name), as: output) { status in
                "resumed the uploads of \(status.name)"
            }
        }
    }
}
