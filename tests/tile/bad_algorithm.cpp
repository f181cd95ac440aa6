// Algorithms and schedules without a tile form: the error names the Func, the reason and what is supported.
#include "HandMade.h"

#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;

namespace {

const Sizes sizes{16, 16, 1, 1, 1, 4, 3};

void expect_user_error(const HandMade &a, const std::vector<std::string> &parts) {
    try {
        a.build();
        FAIL() << "accepted";
    } catch (const UserError &e) {
        for (const std::string &part : parts) {
            EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
                << "expected: " << part << "\ngot: " << e.what();
        }
    }
}

HandMade full() {
    return HandMade(Halide::Float(32), sizes, 8, 8);
}

TEST(BadAlgorithm, UnknownHeadDimension) {
    HandMade a = full();
    const ImageParam free_v(Halide::Float(32), 4, "free_v");
    a.graph.axes.back().extent = free_v.dim(0).extent();
    a.v = free_v;
    a.softmax(a.scores());
    expect_user_error(
        a, {"The size of axis c (free_v.extent.0) must be a constant", "declare free_v.dim(0).set_bounds(0, D)"});
}

TEST(BadAlgorithm, InnerReductionIsNoSum) {
    HandMade a = full();
    a.graph.reductions[0].op = ReduceOp::Max;
    a.softmax(a.scores());
    expect_user_error(a, {"In algorithm for scores: can't compute max of", "it is not a sum", "Supported:"});
}

TEST(BadAlgorithm, InnerOperandIsComputed) {
    HandMade a = full();
    a.graph.reductions[0].body = Halide::abs(load(a.q, {a.d, a.i, a.h, a.b}) - load(a.k, {a.d, a.j, a.kv_head, a.b}));
    a.softmax(a.scores());
    expect_user_error(a, {"In algorithm for scores", "is not an input element", "Supported:"});
}

TEST(BadAlgorithm, InnerReductionOfOneOperand) {
    HandMade a = full();
    a.graph.reductions[0].body = load(a.k, {a.d, a.j, a.kv_head, a.b});
    a.softmax(a.scores());
    expect_user_error(a, {"In algorithm for scores", "one of the two operands is missing"});
}

TEST(BadAlgorithm, ValueIsComputed) {
    HandMade a = full();
    a.softmax(a.scores());
    a.plan.passes[0].moments[1].factor = Halide::exp(a.value_load());
    expect_user_error(a, {"In algorithm for out: can't compute the sum of", "is not one input element over (j, c)"});
}

TEST(BadAlgorithm, MaximumOverAFeature) {
    HandMade a = full();
    a.softmax(a.scores());
    a.plan.passes[0].moments[1].op = ReduceOp::Max;
    expect_user_error(a, {"In algorithm for out: can't compute the max of", "can only be a sum"});
}

TEST(BadAlgorithm, NoQueryAxis) {
    HandMade a = full();
    a.softmax(a.scores());
    a.plan.roles.query = "";
    expect_user_error(a, {"In algorithm hand_made", "no query rows to tile", "add a query axis of extent 1"});
}

TEST(BadAlgorithm, UnknownOperandType) {
    HandMade a = full();
    a.choices.mma["scores"] = "int4";
    a.softmax(a.scores());
    expect_user_error(a, {"In schedule for scores: can't mma(int4)", "bf16, fp16, fp32 or own"});
}

TEST(AxisSize, ComesFromWhatIsKnown) {
    HandMade a = full();
    const ImageParam free_v(Halide::Float(32), 4, "free_v");
    a.graph.axes.back().extent = free_v.dim(0).extent();
    a.v = free_v;
    a.softmax(a.scores());
    EXPECT_EQ(build_tiles("given", a.graph, a.plan, a.choices, {{"c", 11}}).value("%m1").dims[1].size, 11);
    a.v.dim(0).set_estimate(0, 12);
    EXPECT_EQ(a.build().value("%m1").dims[1].size, 12);
    a.v.dim(0).set_bounds(0, 13);
    EXPECT_EQ(a.build().value("%m1").dims[1].size, 13);
}

}  // namespace
