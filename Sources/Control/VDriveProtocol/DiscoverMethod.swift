/// `rpc.discover`: the protocol's own description, `Protocol/openrpc.json`, as the OpenRPC specification asks for it.
package enum RPCDiscover: RPCMethod {
    package typealias Parameters = NoParameters
    package typealias Output = JSONValue
    package static let name = MethodName.rpcDiscover
}
