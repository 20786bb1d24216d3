import Hummingbird

/// The pages: `/metrics` for Prometheus, `/` for whoever looks what this is.
struct Site: HTTPResponder {
    let scraper: Scraper

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        guard request.uri.path == "/" || request.uri.path == "/metrics" else {
            return Self.response(.notFound, "There is no such page; the metrics are at /metrics.\n")
        }
        guard request.method == .get || request.method == .head else {
            var response = Self.response(.methodNotAllowed, "Only GET and HEAD are allowed here.\n")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        if request.uri.path == "/" { return Self.response(.ok, Self.home, type: "text/html; charset=utf-8") }
        // Prometheus would call a server error a failed scrape, and not see vdrive_up.
        return Self.response(.ok, Exposition(await scraper.scrape()).text, type: Exposition.contentType)
    }

    private static func response(
        _ status: HTTPResponse.Status,
        _ text: String,
        type: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(
            status: status,
            headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }

    private static let home = """
        <!DOCTYPE html>
        <html lang="en">
        <head><meta charset="utf-8"><title>vdrive exporter</title></head>
        <body><h1>vdrive exporter</h1><p><a href="/metrics">Metrics</a> of vdrive, for Prometheus.</p></body>
        </html>

        """
}
