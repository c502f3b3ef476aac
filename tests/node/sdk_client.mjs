// The TypeScript SDKs as clients of a gateway: `@modelcontextprotocol/sdk` (1.x) and `@modelcontextprotocol/client` (2.x).
// The plan comes as JSON in the first argument, what was seen goes out as JSON.
// plan: {sdk: 1 | 2, pin?: string, url, token} or {sdk, command, args, env}, and {read, denied: {name, arguments}, resource}

const plan = JSON.parse(process.argv[2]);

async function transport() {
  const over = plan.url ? "http" : "stdio";
  const package_ = plan.sdk === 1 ? "@modelcontextprotocol/sdk/client" : "@modelcontextprotocol/client";
  const module = { "1http": "/streamableHttp.js", "1stdio": "/stdio.js", "2http": "", "2stdio": "/stdio" }[plan.sdk + over];
  const { StreamableHTTPClientTransport, StdioClientTransport } = await import(package_ + module);
  if (over === "stdio") return new StdioClientTransport({ command: plan.command, args: plan.args, env: plan.env });
  const requestInit = { headers: { Authorization: `Bearer ${plan.token}` } };
  return new StreamableHTTPClientTransport(new URL(plan.url), { requestInit });
}

async function connected() {
  const from = plan.sdk === 1 ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client";
  const { Client } = await import(from);
  const options = plan.pin ? { versionNegotiation: { mode: { pin: plan.pin } } } : {};
  const client = new Client({ name: "typescript", version: "1" }, options);
  await client.connect(await transport());
  return client;
}

const said = (result) => ({
  text: result.content.map((block) => block.text ?? "").join("\n"),
  isError: result.isError ?? false,
  meta: result._meta,
});

const client = await connected();
const { tools } = await client.listTools();
const seen = {
  tools: tools.map((tool) => tool.name),
  read: said(await client.callTool(plan.read)),
  denied: said(await client.callTool(plan.denied)),
  resource: (await client.readResource({ uri: plan.resource })).contents[0].text,
};
await client.close();
console.log(JSON.stringify(seen));
