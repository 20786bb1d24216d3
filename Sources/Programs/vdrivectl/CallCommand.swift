import ArgumentParser
import VDriveClient
import VDriveProtocol

/// Reaches what has no command of its own, and shows what a client in another language would see.
struct Call: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Calls any method of the daemon, and prints its result as JSON.",
        discussion: "An error is printed with its code; Protocol/errors.md explains each."
    )

    @Argument(help: "The method's name, such as disk.list.") var method: String
    @Argument(help: "The parameters: a JSON object, such as '{\"name\":\"first\"}'.") var parameters: String?
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        let params = try parameters.map(Self.parse)
        var connection = try ControlConnection(path: self.connection.socket)
        let result: JSONValue
        do throws(ControlError) {
            result = try connection.call(method: method, params: params)
        } catch {
            throw Self.withCode(error)
        }
        print(result.text)
    }

    private static func withCode(_ error: ControlError) -> any Error {
        guard case .rpc(let cause) = error else { return error }
        let kind = cause.code.map { " (\($0.kind))" } ?? ""
        return Complaint(sentence: "error \(cause.rawCode)\(kind): \(cause.message)", status: ExitStatus(error))
    }

    private static func parse(_ text: String) throws -> JSONValue {
        do {
            return try JSONValue(parsing: text.utf8)
        } catch {
            throw Complaint(sentence: "The parameters are not JSON: \(error).")
        }
    }
}
