-- A chat request as a client sends it.
wrk.method = "POST"
wrk.body = '{"model":"qwen","messages":[{"role":"user","content":"Say who you are, in one short sentence."}],"max_tokens":16}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer key-for-everything"
