// What reading makes of Funcs: axes, reductions, requirements, independent of names and habits.
#include "algorithm/ReadAlgorithm.h"
#include "derivation/Algorithms.h"
#include "tile/Golden.h"

#include <gtest/gtest.h>
#include <regex>

using namespace strobe;
using namespace strobe::test;
using Halide::cast;
using Halide::max;
using Halide::select;
using Halide::Tuple;

namespace {

std::string printed(const ReductionGraph &graph) {
    std::ostringstream text;
    text << graph;
    return std::regex_replace(text.str(), std::regex("\\$[0-9]+"), "");
}

using Names = std::vector<std::string>;

ScoreOf causal_score() {
    return [](Inputs &in, Expr s) { return where(causal(in.i, in.j), s); };
}

TEST(Read, CausalFromBlocks) {
    Inputs in(Halide::BFloat(16));
    expect_golden("graph_causal.txt", printed(read_algorithm(from_blocks(in, causal_score()))));
}

TEST(Read, BareFuncsGiveTheSameReductions) {
    Inputs in(Halide::BFloat(16));
    const ReductionGraph graph = read_algorithm(bare(in, causal_score()));
    ASSERT_EQ(graph.reductions.size(), 3u) << graph;
    EXPECT_EQ(graph.outputs[0].axes, (Names{"d", "i", "h", "b"})) << graph;
    EXPECT_EQ(graph.outputs[1].axes, (Names{"i", "h", "b"})) << graph;
    EXPECT_EQ(graph.reduction("total").over, Names{"j"}) << graph;
    EXPECT_EQ(graph.reduction("sum").over, Names{"j"}) << graph;
}

TEST(Read, OutputsShareAxesThroughTheirReductionsWhateverTheirNames) {
    Inputs in;
    std::vector<Func> outputs = from_blocks(in, causal_score());
    Var d("i"), i("h"), h("b"), b("d");  // shuffled on purpose
    Func other("other");
    other(b, h, i, d) = outputs[0](d, i, h, b);  // transposed
    const ReductionGraph graph = read_algorithm({outputs[0], other});
    EXPECT_EQ(graph.outputs[1].axes, (Names{"b", "h", "i", "d"})) << graph;
    EXPECT_EQ(graph.reductions.size(), 4u) << graph;
}

TEST(Read, LengthsThatAreWalkedTogetherMustBeEqual) {
    Inputs in;
    const ReductionGraph graph = read_algorithm(from_blocks(in, causal_score()));
    ASSERT_EQ(graph.requirements.size(), 1u) << graph;
    std::ostringstream text;
    text << graph.requirements[0];
    EXPECT_NE(text.str().find("k.extent.1"), std::string::npos) << text.str();
    EXPECT_NE(text.str().find("v.extent.1"), std::string::npos) << text.str();
}

TEST(Read, DeclaredBoundsAreUsed) {
    Inputs in;
    in.v.dim(1).set_extent(in.k.dim(1).extent());
    in.q.dim(0).set_bounds(0, 64);
    in.k.dim(0).set_bounds(0, 64);
    const ReductionGraph graph = read_algorithm(from_blocks(in, causal_score()));
    EXPECT_TRUE(graph.requirements.empty()) << graph;
    EXPECT_TRUE(Halide::Internal::is_const(graph.axis("d_1").extent, 64)) << graph;
}

TEST(Read, EqualConstantExtentsAreNotEqualAxes) {
    Inputs in;
    RDom r(0, 64), s(0, 64), t(0, 64);
    Func score("score"), sum("sum"), norm("norm"), out("out");
    score(in.j, in.i, in.h, in.b) += in.q(r, in.i, in.h, in.b) * in.k(r, in.j, in.h, in.b);
    norm(in.i, in.h, in.b) += in.q(s, in.i, in.h, in.b) * in.q(s, in.i, in.h, in.b);
    sum(in.i, in.h, in.b) += score(t, in.i, in.h, in.b);
    out(in.i, in.h, in.b) = sum(in.i, in.h, in.b) * norm(in.i, in.h, in.b);
    const ReductionGraph graph = read_algorithm({out});
    EXPECT_EQ(graph.reduction("norm").over, graph.reduction("score").over) << graph;
    EXPECT_NE(graph.reduction("norm").over, graph.reduction("sum").over) << graph;
}

TEST(Read, NestedDomainsAreTwoAxes) {
    Inputs in;
    RDom r(0, in.keys()), s(0, in.keys());
    Func pair("pair"), inner("inner"), outer("outer");
    pair(in.i, in.j, in.b) = in.document(in.i, in.b) * in.document(in.j, in.b);
    inner(in.i, in.b) += pair(in.i, r, in.b);
    outer(in.b) += inner(s, in.b) * inner(s, in.b);
    const ReductionGraph graph = read_algorithm({outer});
    EXPECT_NE(graph.reduction("inner").over, graph.reduction("outer").over) << graph;
    EXPECT_EQ(graph.reduction("inner").axes[0], graph.reduction("outer").over[0]) << graph;
}

TEST(Read, OneFuncAtTwoPlacesIsTwoReductions) {
    Inputs in;
    Func s = scores(in.q, in.k);
    RDom r(0, in.keys());
    Func sum("sum");
    sum(in.i, in.h, in.b) += s(r, in.i, 2 * in.h, in.b) - s(r, in.i, 2 * in.h + 1, in.b);
    const ReductionGraph graph = read_algorithm({sum});
    EXPECT_EQ(graph.reductions.size(), 3u) << graph;
    EXPECT_EQ(graph.reduction("scores").axes, graph.reduction("scores_1").axes) << graph;
}

TEST(Read, TwoFuncsThatSayTheSameAreOneReduction) {
    Inputs in;
    RDom r(0, in.keys());
    Func sum("sum");
    sum(in.i, in.h, in.b) += scores(in.q, in.k)(r, in.i, in.h, in.b) * scores(in.q, in.k)(r, in.i, in.h, in.b);
    EXPECT_EQ(read_algorithm({sum}).reductions.size(), 2u);
}

TEST(Read, WhereOfAnRDomIsASelection) {
    Inputs in;
    RDom r(0, in.keys());
    r.where(r <= in.i);
    Func sum("sum");
    sum(in.i, in.h, in.b) += in.k(0, r, in.h, in.b);
    const ReductionGraph graph = read_algorithm({sum});
    const Halide::Internal::Select *body = graph.reductions[0].body.as<Halide::Internal::Select>();
    ASSERT_NE(body, nullptr) << graph;
    EXPECT_TRUE(Halide::Internal::is_const_zero(body->false_value)) << graph;
}

TEST(Read, TuplesAreSeveralReductions) {
    Inputs in;
    RDom r(0, in.keys());
    Func both("both"), out("out");
    Expr x = in.k(0, r, in.h, in.b);
    both(in.h, in.b) = Tuple(0.0f, -std::numeric_limits<float>::infinity());
    both(in.h, in.b) = Tuple(both(in.h, in.b)[0] + x, max(both(in.h, in.b)[1], x));
    out(in.h, in.b) = Tuple(both(in.h, in.b)[1], both(in.h, in.b)[0]);
    const ReductionGraph graph = read_algorithm({out});
    ASSERT_EQ(graph.reductions.size(), 2u) << graph;
    EXPECT_EQ(graph.reduction("both.0").op, ReduceOp::Sum) << graph;
    EXPECT_EQ(graph.reduction("both.1").op, ReduceOp::Max) << graph;
    ASSERT_EQ(graph.outputs.size(), 2u) << graph;
    EXPECT_EQ(graph.referred(graph.outputs[0].value)->name, "both.1") << graph;
}

TEST(Read, AnInitialValueOtherThanTheIdentityStays) {
    Inputs in;
    RDom r(0, in.keys());
    Func top("top");
    top(in.h, in.b) = in.slopes(in.h);
    top(in.h, in.b) = max(top(in.h, in.b), in.k(0, r, in.h, in.b));
    EXPECT_TRUE(read_algorithm({top}).reductions[0].init.defined());
}

struct Writing {
    const char *name;
    ReduceOp op;
    std::function<Expr(Expr f, Expr x)> update;
    Expr init;
};

class Updates : public testing::TestWithParam<Writing> {};

TEST_P(Updates, AreReductions) {
    Inputs in;
    RDom r(0, in.keys());
    Func f("f");
    Expr x = in.k(0, r, in.h, in.b);
    const bool logical = GetParam().op == ReduceOp::And || GetParam().op == ReduceOp::Or;
    f(in.h, in.b) = GetParam().init;
    f(in.h, in.b) = GetParam().update(f(in.h, in.b), logical ? Expr(x > 0.0f) : x);
    const ReductionGraph graph = read_algorithm({f});
    ASSERT_EQ(graph.reductions.size(), 1u) << graph;
    EXPECT_EQ(graph.reductions[0].op, GetParam().op) << graph;
    EXPECT_FALSE(graph.reductions[0].init.defined()) << graph;
    EXPECT_FALSE(graph.reductions[0].body.as<Halide::Internal::Variable>()) << graph;
}

const float infinity = std::numeric_limits<float>::infinity();

INSTANTIATE_TEST_SUITE_P(
    Writings, Updates,
    testing::Values(
        Writing{"sum", ReduceOp::Sum, [](Expr f, Expr x) { return f + x; }, 0.0f},
        Writing{"sum_reversed", ReduceOp::Sum, [](Expr f, Expr x) { return x + f; }, 0.0f},
        Writing{"sum_of_three", ReduceOp::Sum, [](Expr f, Expr x) { return x + (f + 2 * x) - x * x; }, 0.0f},
        Writing{"difference", ReduceOp::Sum, [](Expr f, Expr x) { return f - x; }, 0.0f},
        Writing{"conditional", ReduceOp::Sum, [](Expr f, Expr x) { return select(x > 0, f + x, f); }, 0.0f},
        Writing{"conditional_else", ReduceOp::Sum, [](Expr f, Expr x) { return select(x > 0, f, x + f); }, 0.0f},
        Writing{"product", ReduceOp::Product, [](Expr f, Expr x) { return f * x; }, 1.0f},
        Writing{"max", ReduceOp::Max, [](Expr f, Expr x) { return max(x, f); }, -infinity},
        Writing{"max_select", ReduceOp::Max, [](Expr f, Expr x) { return select(f < x, x, f); }, -infinity},
        Writing{"max_select_greater", ReduceOp::Max, [](Expr f, Expr x) { return select(x >= f, x, f); }, -infinity},
        Writing{"max_select_keep", ReduceOp::Max, [](Expr f, Expr x) { return select(f > x, f, x); }, -infinity},
        Writing{"min", ReduceOp::Min, [](Expr f, Expr x) { return min(f, x); }, infinity},
        Writing{"min_select", ReduceOp::Min, [](Expr f, Expr x) { return select(x < f, x, f); }, infinity},
        Writing{"min_select_keep", ReduceOp::Min, [](Expr f, Expr x) { return select(f <= x, f, x); }, infinity},
        Writing{"and", ReduceOp::And, [](Expr f, Expr x) { return f && x; }, cast<bool>(1)},
        Writing{"or", ReduceOp::Or, [](Expr f, Expr x) { return x || f; }, cast<bool>(0)}),
    [](const auto &info) { return std::string(info.param.name); });

/** The graph, evaluated, equals what Halide computes from the Funcs. */
TEST(Read, ValuesAreHalides) {
    for (const Variant &variant : variants()) {
        Inputs in;
        in.scale.set(0.7f);
        in.cap.set(3.0f);
        in.window.set(2);
        in.prefix.set(3);
        const Sizes z = in.sizes;
        Data data = in.data(5);
        const auto fill = [&](ImageParam &param, std::vector<int> extents) {
            Halide::Buffer<> buffer(param.type(), extents);
            buffer.for_each_element([&](const int *at) {
                const double x = data.inputs[param.name()](std::vector<int>(at, at + extents.size()));
                void *address = nullptr;
                switch (param.type().code()) {
                case halide_type_int:
                    address = &buffer.as<int>()(at);
                    *static_cast<int *>(address) = int(x);
                    break;
                default:
                    buffer.as<float>()(at) = float(x);
                }
            });
            param.set(buffer);
        };
        fill(in.q, {z.features, z.queries, z.heads, z.batches});
        fill(in.k, {z.features, z.keys, z.heads / z.group, z.batches});
        fill(in.v, {z.values, z.keys, z.heads / z.group, z.batches});
        fill(in.slopes, {z.heads});
        fill(in.document, {std::max(z.keys, z.queries), z.batches});
        const std::vector<Func> outputs = bare(in, variant.score);
        const ReductionGraph graph = read_algorithm(outputs);
        add_outputs(data, graph, z);
        EvaluateGraph evaluate(graph, data);
        Func out = outputs[0], lse = outputs[1];
        const Halide::Buffer<float> values = out.realize({z.values, z.queries, z.heads, z.batches});
        const Halide::Buffer<float> sums = lse.realize({z.queries, z.heads, z.batches});
        for (size_t n = 0; n < 2; n++) {
            evaluate.for_each_point(graph.outputs[n].axes, [&](const Point &point) {
                const double expected =
                    n == 0 ? values(int(point.at("d")), int(point.at("i")), int(point.at("h")), int(point.at("b")))
                           : sums(int(point.at("i")), int(point.at("h")), int(point.at("b")));
                const double got = evaluate.value(graph.outputs[n].value, point);
                ASSERT_NEAR(got, expected, 1e-5) << variant.name << ", " << graph.outputs[n].name << "\n" << graph;
            });
        }
    }
}

}  // namespace
