internal import VDriveEngine

/// The environment variable that makes things go wrong on purpose, for tests: see contrib/FAULTS.md.
package enum FaultEnvironment {
    package static let variable = "VDRIVE_FAULTS"

    /// Arms what the variable says.
    ///
    /// - Returns: its text; nil when it is not set, or empty.
    /// - Throws: a sentence about what it cannot mean.
    package static func arm() throws(FaultEnvironmentError) -> String? {
        guard let value = environmentVariable(variable) else { return nil }
        do throws(FaultSpecError) { try Faults.arm(value) } catch {
            throw FaultEnvironmentError(description: "\(variable): \(error)")
        }
        return value
    }
}

package struct FaultEnvironmentError: Error, CustomStringConvertible {
    package let description: String
}
