#pragma once

/** \file
 * Algorithm texts, as another program would write them. */

#include <string>

/** Softmax attention over score, an expression over j, i, h, b that may call scores. */
inline std::string attention_text(const std::string &score, const std::string &type = "float32", int head_dim = 16,
                                  const std::string &more_tensors = "") {
    const std::string D = std::to_string(head_dim);
    auto tensor = [&](const std::string &name, const std::string &length, const std::string &heads) {
        return R"({"name": ")" + name + R"(", "type": ")" + type + R"(", "sizes": [)" + D + R"(, ")" + length +
               R"(", ")" + heads + R"(", "B"]})";
    };
    return R"({"strobe": 1, "name": "attention",
"tensors": [)" + tensor("q", "Sq", "H") + ", " + tensor("k", "Sk", "Hk") + ", " + tensor("v", "Sk", "Hk") + more_tensors +
           R"(],
"scalars": [{"name": "scale", "type": "float32", "min": 1e-6, "max": 1e6}],
"funcs": [
  {"name": "scores", "args": [["j", "Sk"], ["i", "Sq"], ["h", "H"], ["b", "B"]], "over": [["d", )" + D + R"(]], "reduce": "sum",
   "value": ["mul", ["cast", "float32", ["load", "q", "d", "i", "h", "b"]],
                    ["cast", "float32", ["load", "k", "d", "j", ["group", "h", "H", "Hk"], "b"]]]},
  {"name": "score", "args": [["j", "Sk"], ["i", "Sq"], ["h", "H"], ["b", "B"]],
   "let": [["s", ["mul", ["call", "scores", "j", "i", "h", "b"], ["scalar", "scale"]]]], "value": )" + score + R"(},
  {"name": "row_max", "args": [["i", "Sq"], ["h", "H"], ["b", "B"]], "over": [["j", "Sk"]], "reduce": "max",
   "value": ["call", "score", "j", "i", "h", "b"]},
  {"name": "pivot", "args": [["i", "Sq"], ["h", "H"], ["b", "B"]],
   "value": ["max", ["call", "row_max", "i", "h", "b"], ["const", "float32", -3.4028234663852886e38]]},
  {"name": "exponential", "args": [["j", "Sk"], ["i", "Sq"], ["h", "H"], ["b", "B"]],
   "value": ["exp", ["sub", ["call", "score", "j", "i", "h", "b"], ["call", "pivot", "i", "h", "b"]]]},
  {"name": "row_sum", "args": [["i", "Sq"], ["h", "H"], ["b", "B"]], "over": [["j", "Sk"]], "reduce": "sum",
   "value": ["call", "exponential", "j", "i", "h", "b"]},
  {"name": "weights", "args": [["j", "Sk"], ["i", "Sq"], ["h", "H"], ["b", "B"]],
   "value": ["select", ["gt", ["call", "row_sum", "i", "h", "b"], ["const", "float32", 0]],
             ["div", ["call", "exponential", "j", "i", "h", "b"], ["call", "row_sum", "i", "h", "b"]],
             ["const", "float32", 0]]},
  {"name": "weighted_sum", "args": [["d", )" + D + R"(], ["i", "Sq"], ["h", "H"], ["b", "B"]], "over": [["j", "Sk"]], "reduce": "sum",
   "value": ["mul", ["call", "weights", "j", "i", "h", "b"],
                    ["cast", "float32", ["load", "v", "d", "j", ["group", "h", "H", "Hk"], "b"]]]},
  {"name": "out", "args": [["d", )" + D + R"(], ["i", "Sq"], ["h", "H"], ["b", "B"]],
   "value": ["cast", ")" + type + R"(", ["call", "weighted_sum", "d", "i", "h", "b"]]},
  {"name": "lse", "args": [["i", "Sq"], ["h", "H"], ["b", "B"]],
   "value": ["add", ["call", "pivot", "i", "h", "b"], ["log", ["call", "row_sum", "i", "h", "b"]]]}
],
"outputs": ["out", "lse"]})";
}

/** score where mask holds, else -inf. */
inline std::string masked(const std::string &mask, const std::string &score = R"("s")") {
    return R"(["select", )" + mask + ", " + score + R"(, ["const", "float32", "-inf"]])";
}

inline const char *const causal_mask = R"(["le", "j", "i"])";
