import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// `Protocol/transcripts/`, against a real daemon.
    @Suite(.serialized)
    struct TranscriptTests {
        @Test(.timeLimit(.minutes(4)), arguments: [DaemonUnderTest.Launch.itself, .socketActivation])
        func `every transcript is what a daemon says, and openrpc.json allows it`(
            launch: DaemonUnderTest.Launch
        ) async throws {
            try await DaemonUnderTest.use("transcripts", launch: launch) { daemon in
                let document = try ProtocolDocument()
                try Transcript.prepare(folder: daemon.folder)
                let transcripts = try Transcript.all(folder: daemon.folder)
                #expect(transcripts.count >= 7)
                let answered = transcripts.reduce(into: Set()) { $0.formUnion($1.methods) }
                #expect(answered == Set(document.methods.map(\.name)), "every method has a result in some transcript")
                for transcript in transcripts {
                    let socket = daemon.socket
                    let complaints = try await blocking { try transcript.replay(socket: socket, document: document) }
                    #expect(complaints == [], "\(transcript)")
                }
            }
        }

        @Test(
            arguments: [
                #"<- {"id":1,"jsonrpc":"2.0","result":{"pid":"<int>","protocol":2,"version":"<string>"}}"#,
                #"<- {"id":1,"jsonrpc":"2.0","result":{"pid":"<int>","protocol":1}}"#,
                #"<- {"id":1,"jsonrpc":"2.0","result":{"pid":"<string>","protocol":1,"version":"<string>"}}"#, "",
            ]
        )
        func `a transcript that is not true is found out`(answer: String) async throws {
            try await DaemonUnderTest.use("false-transcript") { daemon in
                let document = try ProtocolDocument()
                let call = #"-> {"jsonrpc":"2.0","id":1,"method":"daemon.version"}"#
                let transcript = try Transcript(name: "false", text: "\(call)\n\(answer)\n")
                let socket = daemon.socket
                let complaints = try await blocking { try transcript.replay(socket: socket, document: document) }
                #expect(complaints.count == 1)
            }
        }
    }
}
