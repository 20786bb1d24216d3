import ArgumentParser
import Glibc
import VDriveClient
import VDriveProtocol

/// How to reach the daemon.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "The daemon's socket; VDRIVE_SOCKET, or /run/vdrive.sock, when left out.", completion: .file())
    var socket: String?

    /// Makes one call. It takes as long as it takes: some upload for hours.
    func call<Method: RPCMethod>(_ method: Method.Type, _ parameters: Method.Parameters) throws -> Method.Output {
        var connection = try ControlConnection(path: socket)
        return try connection.call(method, parameters)
    }

    /// Makes one call, and prints its result.
    func report<Method: RPCMethod>(
        _ method: Method.Type,
        _ parameters: Method.Parameters,
        as output: OutputOptions,
        _ sentence: (Method.Output) -> Shown
    ) throws {
        var connection = try ControlConnection(path: socket)
        let answer = try connection.answer(to: method, parameters)
        print(output.json ? answer.text : sentence(try ControlConnection.decode(method, from: answer)).text)
    }
}

/// What a command prints.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print the daemon's result as one line of JSON.") var json = false
}

/// A size on the command line, read to bytes before anything is sent.
struct Bytes: ExpressibleByArgument {
    let count: UInt64

    init?(argument: String) {
        guard let count = ByteSize.parse(argument) else { return nil }
        self.count = count
    }
}

extension FilesystemChoice: ExpressibleByArgument {}
extension DurabilityChoice: ExpressibleByArgument {}
extension CachePolicyChoice: ExpressibleByArgument {}

/// Where credentials lie, as the daemon needs it: a path in full, or one of the words that are no paths.
func credentialsReference(_ text: String?) throws -> String? {
    guard let text, text != "none", !text.hasPrefix("credential:"), !text.hasPrefix("env:") else { return text }
    return try absolute(text)
}

/// A path as the daemon needs it: it has another working directory.
func absolute(_ path: String?) throws -> String? {
    // As bytes: where a name begins with an accent, Swift takes that and the slash before it for one character.
    let slash = UInt8(ascii: "/")
    guard let path, path.utf8.first != slash else { return path }
    guard !path.isEmpty, let folder = getcwd(nil, 0) else { throw Complaint(sentence: "A path is empty; give one.") }
    defer { free(folder) }
    let parts = path.utf8.split(separator: slash).map { String(decoding: $0, as: UTF8.self) }.filter { $0 != "." }
    return "\(String(cString: folder))/\(parts.joined(separator: "/"))"
}
