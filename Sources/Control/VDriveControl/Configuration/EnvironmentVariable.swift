import Glibc

/// A variable of the process's environment. One that is empty counts as not set.
package func environmentVariable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
}

/// Keeps a variable from the programs that this process starts. Only before a second thread exists.
package func removeEnvironmentVariable(_ name: String) {
    unsetenv(name)
}
