#include "Texts.h"

#include "algorithm/ReadAlgorithm.h"
#include "support/Error.h"
#include "text/AlgorithmText.h"
#include "tile/Golden.h"

#include <gtest/gtest.h>

using namespace strobe;

namespace {

std::string graph_of(const std::string &text) {
    std::ostringstream s;
    s << read_algorithm(read_algorithm_text(text).funcs);
    return s.str();
}

/** The text with one piece replaced; fails if it is not there. */
std::string with(const std::string &text, const std::string &from, const std::string &to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.substr(0, at) + to + text.substr(at + from.size());
}

void expect_refusal(const std::string &text, const std::vector<std::string> &words) {
    try {
        read_algorithm_text(text);
        FAIL() << "accepted: " << text.substr(0, 300);
    } catch (const UserError &e) {
        for (const std::string &w : words) {
            EXPECT_NE(std::string(e.what()).find(w), std::string::npos) << "got: " << e.what() << "\nexpected: " << w;
        }
    }
}

}  // namespace

TEST(AlgorithmText, BecomesTheGraphOfItsFuncs) {
    strobe::test::expect_golden("graph_text_causal.txt", graph_of(attention_text(masked(causal_mask), "bfloat16", 64)));
}

TEST(AlgorithmText, OutputSizes) {
    const TextAlgorithm a = read_algorithm_text(attention_text(R"("s")"));
    const std::vector<std::vector<int64_t>> inputs = {{16, 7, 4, 3}, {16, 9, 2, 3}, {16, 9, 2, 3}};
    const std::vector<std::vector<int64_t>> expected = {{16, 7, 4, 3}, {7, 4, 3}};
    std::map<std::string, int64_t> named;
    EXPECT_EQ(output_sizes(a, inputs, &named), expected);
    EXPECT_EQ(named, (std::map<std::string, int64_t>{{"Sq", 7}, {"H", 4}, {"B", 3}, {"Sk", 9}, {"Hk", 2}}));
}

TEST(AlgorithmText, SizesThatDoNotFit) {
    const TextAlgorithm a = read_algorithm_text(
        attention_text(masked(R"(["lt", "j", ["load", "t", "i", "b"]])"), "float32", 16,
                       R"(, {"name": "t", "type": "int32", "sizes": [null, "B"]})"));
    const std::vector<int64_t> q = {16, 7, 4, 3}, k = {16, 9, 2, 3};
    const auto expect = [&](const std::vector<std::vector<int64_t>> &sizes, const std::string &words) {
        try {
            output_sizes(a, sizes);
            FAIL() << "accepted; expected: " << words;
        } catch (const UserError &e) {
            EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << "got: " << e.what();
        }
    };
    EXPECT_NO_THROW(output_sizes(a, {q, k, k, {8, 3}}));
    expect({q, k, k}, "got 3 tensors, expected 4 (q, k, v, t)");
    expect({q, k, k, {8}}, "t must have 2 dimensions, got 1");
    expect({{15, 7, 4, 3}, k, k, {8, 3}}, "dimension 3 of q has size 15; it must be 16");
    expect({q, k, {16, 8, 2, 3}, {8, 3}}, "dimension 2 of v has size 8, dimension 2 of k has size 9; they must be equal");
    expect({q, k, k, {6, 3}}, "dimension 1 of t has size 6; it is indexed up to 6 and must be at least 7");
    expect({{16, 7, 5, 3}, k, k, {8, 3}}, "dimension 1 of q has size 5; it must be a multiple of 2");
    expect({q, k, k, {int64_t(1) << 31, 3}}, "legal are 0 to 2147483647");
}

TEST(AlgorithmText, Scalars) {
    const TextAlgorithm a = read_algorithm_text(attention_text(R"("s")"));
    EXPECT_NO_THROW(check_scalar_values(a, {0.5}));
    for (const std::vector<double> &bad : {std::vector<double>{}, {1, 2}, {-1}, {1e7}, {std::nan("")}}) {
        EXPECT_THROW(check_scalar_values(a, bad), UserError);
    }
}

TEST(AlgorithmText, RefusalsSayWhere) {
    const std::string good = attention_text(R"("s")");
    expect_refusal("", {"not JSON"});
    expect_refusal("[", {"not JSON"});
    expect_refusal("[]", {"at /", "expected an object"});
    expect_refusal(std::string(max_text_bytes + 1, ' '), {"legal are at most"});
    expect_refusal(std::string(5000, '['), {"nested more than"});
    expect_refusal(with(good, "\"strobe\": 1", "\"strobe\": 2"), {"/strobe", "version 1"});
    expect_refusal(with(good, "\"outputs\"", "\"output\""), {"no member \"output\"", "did you mean outputs?"});
    expect_refusal(with(good, "\"name\": \"q\"", "\"name\": \"q-1\""), {"/tensors/0/name", "not a name"});
    expect_refusal(with(good, "\"name\": \"k\"", "\"name\": \"q\""), {"/tensors/1/name", "two of the name q"});
    expect_refusal(with(good, "\"type\": \"float32\"", "\"type\": \"float23\""), {"/tensors/0/type", "did you mean float32?"});
    expect_refusal(with(good, "[16, \"Sq\"", "[0, \"Sq\""), {"/tensors/0/sizes/0", "0 is not in [1, 2147483647]"});
    expect_refusal(with(good, "[16, \"Sq\"", "[99999999999999999999, \"Sq\""), {"/tensors/0/sizes/0"});
    expect_refusal(with(good, "\"reduce\": \"sum\"", "\"reduce\": \"mean\""), {"/funcs/0/reduce", "no reduction mean"});
    expect_refusal(with(good, "[\"load\", \"q\",", "[\"load\", \"Q\","), {"/funcs/0/value/1/2/1", "no tensor Q"});
    expect_refusal(with(good, "\"d\", \"i\", \"h\", \"b\"]", "\"d\", \"i\", \"h\"]"), {"q has 4 dimensions, got 3 indices"});
    expect_refusal(with(good, "[\"call\", \"scores\", \"j\", \"i\"", "[\"call\", \"scores\", \"i\", \"j\""),
                   {"/funcs/1/let/0/1/1/2", "must be an axis of the same size"});
    expect_refusal(with(good, "[\"scalar\", \"scale\"]", "[\"scalar\", \"scalee\"]"), {"no scalar scalee"});
    expect_refusal(with(good, "[\"const\", \"float32\", 0]", "[\"const\", \"int32\", 0]"), {"one type", "float32", "int32"});
    expect_refusal(with(good, "[\"const\", \"float32\", 0]", "[\"const\", \"float32\", null]"), {"expected a number"});
    expect_refusal(with(good, "\"outputs\": [\"out\"", "\"outputs\": [\"outt\""), {"/outputs/0", "no function outt"});
    expect_refusal(with(good, "\"outputs\": [\"out\", \"lse\"]", "\"outputs\": [\"out\", \"out\"]"), {"output twice"});
    expect_refusal(attention_text(R"("x")"), {"/funcs/1/value", "x is neither an axis nor a let"});
    expect_refusal(attention_text(R"(["add", "s"])"), {"array of 3 to 65"});
    expect_refusal(attention_text(R"(["select", "s", "s", "s"])"), {"a condition is a bool"});
    expect_refusal(attention_text(R"(["load", "q", "s", "i", "h", "b"])"), {"an index is a whole number"});
    expect_refusal(attention_text(R"(["and", "s", "s"])"), {"takes bools"});
}

TEST(AlgorithmText, ChainsOfLetsAreBounded) {
    std::string lets = R"(["s", ["mul", ["call", "scores", "j", "i", "h", "b"], ["scalar", "scale"]]])";
    std::string last = "s";
    for (int n = 0; n < 1200; n++) {
        const std::string name = "x" + std::to_string(n);
        lets += R"(, [")" + name + R"(", ["add", ")" + last + R"(", "s"]])";
        last = name;
    }
    const std::string good = attention_text("\"" + last + "\"");
    const std::string only = R"("let": [["s", ["mul", ["call", "scores", "j", "i", "h", "b"], ["scalar", "scale"]]]])";
    expect_refusal(with(good, only, "\"let\": [" + lets + "]"), {"nested more than 1000 deep, lets included"});
}
