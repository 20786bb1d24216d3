/// The bounds of the protocol, the same for every client.
package enum RPCLimits {
    /// Bytes of one line without its newline, either way. One status is under 1 KiB and one disk's statistics under
    /// 8 KiB, so this leaves room for more disks in one answer than a machine can serve, and bounds what one silent
    /// client can make the daemon hold.
    package static let lineBytesMax = 1 << 20
    /// Levels of arrays and objects. The statistics have seven; the stack would take thousands.
    package static let nestingMax = 64
    /// Calls in one batch.
    package static let batchCallsMax = 1024
}
