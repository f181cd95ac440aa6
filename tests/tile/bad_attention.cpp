// Algorithms that can be read and streamed, but not in tiles: the class of the error, the Func, the reason and the way out.
#include "HandMade.h"

#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "strobe/attention.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using Halide::Expr;
using Halide::Func;
using Halide::ImageParam;
using Halide::RDom;
using Halide::Var;

namespace {

struct BadAttention : testing::Test {
    ImageParam q{Halide::Float(32), 4, "q"}, k{Halide::Float(32), 4, "k"}, v{Halide::Float(32), 4, "v"};
    Var i{"i"}, j{"j"}, h{"h"}, b{"b"}, d{"d"};
    Func s{"s"}, f{"culprit"}, out{"out"};

    void SetUp() override {
        q.dim(0).set_bounds(0, 8);
        k.dim(0).set_bounds(0, 8);
        v.dim(0).set_bounds(0, 8);
        s(j, i, h, b) = scores(q, k)(j, i, h, b);
    }

    RDom keys() const {
        return RDom(0, k.dim(1).extent());
    }

    /** The sum of weights, the culprit, times the values. */
    Func summed() {
        RDom all = keys();
        out(d, i, h, b) += f(all, i, h, b) * v(d, all, h, b);
        return out;
    }

    void expect_refused(const std::vector<Func> &outputs, const std::vector<std::string> &parts) {
        try {
            const ReductionGraph graph = read_algorithm(outputs);
            Choices choices;
            choices.query_tile = choices.stream_tile = 8;
            build_tiles("bad", graph, derive_online(graph), choices, {});
            FAIL() << "accepted:\n" << graph;
        } catch (const UserError &e) {
            for (const std::string &part : parts) {
                EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
                    << "expected \"" << part << "\" in: " << e.what();
            }
        }
    }
};

TEST_F(BadAttention, RunningMaximum) {
    RDom r = keys();
    f(j, i, h, b) = -std::numeric_limits<float>::infinity();
    f(j, i, h, b) = max(f(j, i, h, b), select(r <= j, s(r, i, h, b), -std::numeric_limits<float>::infinity()));
    expect_refused({summed()}, {"culprit", "running max", "only sums"});
}

TEST_F(BadAttention, RunningProduct) {
    RDom r = keys();
    f(j, i, h, b) = 1.0f;
    f(j, i, h, b) *= select(r <= j, s(r, i, h, b), 1.0f);
    expect_refused({summed()}, {"culprit", "running product", "only sums"});
}

TEST_F(BadAttention, SumOfPairsOfKeys) {
    // Each key looks at all others: a third walk in the second.
    RDom r = keys();
    f(j, i, h, b) += exp(-abs(s(j, i, h, b) - s(r, i, h, b)));
    expect_refused({summed()}, {"culprit", "each element of j", "select(k <= j"});
}

TEST_F(BadAttention, WindowedSumOfKeys) {
    RDom r = keys();
    f(j, i, h, b) += select(abs(r - j) <= 2, s(r, i, h, b), 0.0f);
    expect_refused({summed()}, {"culprit", "each element of j", "select(k <= j"});
}

TEST_F(BadAttention, RunningSumWithAStart) {
    RDom r = keys();
    f(j, i, h, b) = 1.0f;
    f(j, i, h, b) += select(r <= j, s(r, i, h, b), 0.0f);
    expect_refused({summed()}, {"culprit", "starts from 1", "add it where culprit is used"});
}

TEST_F(BadAttention, FreeHeadDimension) {
    ImageParam w(Halide::Float(32), 4, "w");
    RDom all = keys();
    out(d, i, h, b) += s(all, i, h, b) * w(d, all, h, b);
    expect_refused({out}, {"The size of axis d", "must be a constant", "set_bounds(0, D)"});
}

}  // namespace
