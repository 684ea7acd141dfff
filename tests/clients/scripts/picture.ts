/** Prints a picture's bytes and type. */
import { createClient } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
const { image, contentType } = await client.imageGeneration("A fox", { model: "gpt-image-1" });
console.log(JSON.stringify({ bytes: Array.from(image), contentType }));
