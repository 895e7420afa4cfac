// The API's documentation, made from /openapi.json. It loads nothing from elsewhere.
const node = (name, text = "", ...children) => {
  const made = document.createElement(name);
  made.append(text, ...children);
  return made;
};

const named = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf || schema.allOf) return (schema.anyOf || schema.allOf).map(named).join(schema.anyOf ? " or " : " and ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return `list of ${named(schema.items)}`;
  return [schema.type].flat().join(" or ") || "any";
};

const table = (heads, rows) => {
  const cells = (kind, row) => node("tr", "", ...row.map((text) => node(kind, text)));
  return node("table", "", node("thead", "", cells("th", heads)), node("tbody", "", ...rows.map((row) => cells("td", row))));
};

const fieldsOf = (schema) => {
  const needed = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, field]) => [
    name + (needed.has(name) ? " *" : ""), named(field), field.description || "",
  ]);
  return table(["field", "type", ""], rows);
};

const routeOf = (method, path, route) => {
  const made = node("details", "", node("summary", "", node("b", method.toUpperCase()), node("code", path), ` ${route.summary}`));
  made.append(node("p", route.description));
  if (route.parameters) {
    made.append(table(["parameter", "in", "type", ""], route.parameters.map(
      (each) => [each.name + (each.required ? " *" : ""), each.in, named(each.schema), each.description || ""])));
  }
  for (const [kind, body] of Object.entries(route.requestBody?.content || {})) {
    made.append(node("p", `Body: ${named(body.schema)}, ${kind}`));
    for (const example of Object.values(body.examples || {})) {
      made.append(node("pre", JSON.stringify(example.value, null, 2)));
    }
  }
  made.append(table(["answer", "body", ""], Object.entries(route.responses).map(([status, answer]) => [
    status, Object.values(answer.content || {}).map((each) => named(each.schema)).join(), answer.description])));
  return made;
};

const show = (api) => {
  const main = document.getElementById("routes");
  main.replaceChildren(node("p", api.info.description));
  const byTag = {};
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, route] of Object.entries(methods)) (byTag[route.tags[0]] ||= []).push(routeOf(method, path, route));
  }
  for (const [tag, routes] of Object.entries(byTag)) main.append(node("h2", tag), ...routes);
  main.append(node("h2", "records"));
  for (const [name, schema] of Object.entries(api.components.schemas).sort()) {
    const made = node("details", "", node("summary", name));
    made.id = name;
    made.append(node("p", schema.description || ""), schema.properties ? fieldsOf(schema) : node("p", named(schema)));
    main.append(made);
  }
};

fetch("/openapi.json").then((answer) => {
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.json();
}).then(show).catch((error) => {
  document.getElementById("routes").replaceChildren(node("p", `The document cannot be loaded: ${error.message}`));
});
