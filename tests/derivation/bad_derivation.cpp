// Algorithms that can be read but not streamed: the class of the error, the name and the reason.
#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;

namespace {

struct BadDerivation : testing::Test {
    Inputs in;
    Func f{"culprit"}, out{"out"};

    Expr score() {
        return scores(in.q, in.k)(in.j, in.i, in.h, in.b);
    }

    void expect_refused(const std::vector<Func> &outputs, const std::vector<std::string> &parts) {
        try {
            const Plan plan = derive_online(read_algorithm(outputs));
            FAIL() << "accepted:\n" << plan;
        } catch (const UserError &e) {
            for (const std::string &part : parts) {
                EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
                    << "expected \"" << part << "\" in: " << e.what();
            }
        }
    }
};

TEST_F(BadDerivation, NothingToReduce) {
    f(in.d, in.i, in.h, in.b) = in.q(in.d, in.i, in.h, in.b) * 2;
    expect_refused({f}, {"culprit", "reduces nothing", "ordinary Halide Func"});
}

TEST_F(BadDerivation, TwoStreams) {
    RDom r(0, in.keys()), s(0, in.q.dim(1).extent());
    Func a("a"), b("b");
    a(in.h, in.b) += in.k(0, r, in.h, in.b);
    b(in.h, in.b) += in.q(0, s, in.h, in.b);
    out(in.h, in.b) = a(in.h, in.b) + b(in.h, in.b);
    expect_refused({out}, {"several axes", "a over", "b over"});
}

TEST_F(BadDerivation, TwoAxesAtOnce) {
    RDom r(0, in.keys(), 0, in.k.dim(0).extent());
    f(in.i, in.h, in.b) += in.k(r.y, r.x, in.h, in.b) * in.q(r.y, in.i, in.h, in.b);
    expect_refused({f}, {"culprit"});
}

TEST_F(BadDerivation, NoRows) {
    RDom r(0, in.keys());
    f(in.h, in.b) += in.k(0, r, in.h, in.b);
    expect_refused({f}, {"culprit", "none of its dimensions (h, b) is a row"});
}

TEST_F(BadDerivation, OutputsWithoutACommonRow) {
    RDom r(0, in.keys());
    Func a("a"), b("b"), s("s"), t("t");
    Expr j = in.j;
    s(in.j, in.i, in.h, in.b) = score();
    t(in.j, in.i, in.h, in.b) = in.bias(in.j, in.i, in.h, in.b) * in.lambda;
    a(in.i, in.h, in.b) += s(r, in.i, in.h, in.b);
    b(in.i, in.h, in.b) += Halide::exp(t(r, in.i, in.h, in.b));
    expect_refused({a, b}, {"has no dimension for", "an algorithm of its own"});
}

TEST_F(BadDerivation, TwoAxesAfterTheStream) {
    // A norm of the result along its features is legal, one over two axes at once is not.
    Func attention = from_blocks(in, [](Inputs &, Expr s) { return s; })[0];
    RDom r(0, in.v.dim(0).extent(), 0, 2);
    f(in.i, in.h, in.b) += attention(r.x, in.i, in.h, in.b) * r.y;
    expect_refused({f}, {"culprit", "after the stream", "One axis at a time"});
}

TEST_F(BadDerivation, StreamThatNeedsAReductionAfterTheStream) {
    Func attention = from_blocks(in, [](Inputs &, Expr s) { return s; })[0], norm("norm"), again("again");
    RDom c(0, in.v.dim(0).extent()), r(0, in.keys());
    norm(in.i, in.h, in.b) += attention(c, in.i, in.h, in.b);
    Expr s = score();
    again(in.j, in.i, in.h, in.b) = s;
    f(in.i, in.h, in.b) += Halide::exp(again(r, in.i, in.h, in.b) * norm(in.i, in.h, in.b));
    expect_refused({f}, {"culprit walks", "needs norm", "Only outputs may use"});
}

TEST_F(BadDerivation, WeightsAsAnOutput) {
    // (S, S) weights would be as large as what streaming avoids.
    Func weights("weights");
    Softmax p = softmax(score(), in.keys());
    weights(in.j, in.i, in.h, in.b) = p.weights(in.j, in.i, in.h, in.b);
    expect_refused({weights}, {"weights", "a score for each"});
}

TEST_F(BadDerivation, SumsOfColumnsBesideRows) {
    // How much attention each key receives has keys for rows: another walk of another shape.
    Func p = softmax(score(), in.keys()).weights, out2("out2");
    RDom rows(0, in.q.dim(1).extent());
    f(in.j, in.h, in.b) += p(in.j, rows, in.h, in.b);
    out2(in.d, in.i, in.h, in.b) = weighted_sum(p, in.v, in.q)(in.d, in.i, in.h, in.b);
    expect_refused({out2, f}, {"out2", "has no dimension for", "an algorithm of its own"});
}

TEST_F(BadDerivation, TwoAxesWithTheStream) {
    RDom r(0, in.keys(), 0, 3);
    Func s("s");
    s(in.j, in.i, in.h, in.b) = score();
    f(in.i, in.h, in.b) += s(r.x, in.i, in.h, in.b) * Halide::cast<float>(r.y);
    expect_refused({f}, {"culprit reduces", "at once", "in a Func of their own"});
}

TEST_F(BadDerivation, ScoresBesideTheOutput) {
    Func attention = from_blocks(in, [](Inputs &, Expr s) { return s; })[0];
    out(in.d, in.i, in.h, in.b) = attention(in.d, in.i, in.h, in.b);
    f(in.j, in.i, in.h, in.b) = score();
    expect_refused({out, f}, {"culprit", "has no dimension for", "an algorithm of its own"});
}

TEST_F(BadDerivation, NormalisedOutputThatIsAttendedAgain) {
    // Two attentions one after another: the second walks the keys with what the first has finished.
    Func first = from_blocks(in, [](Inputs &, Expr s) { return s; })[0], again("again");
    RDom c(0, in.v.dim(0).extent()), r(0, in.keys());
    f(in.j, in.i, in.h, in.b) += first(c, in.i, in.h, in.b) * in.k2(c, in.j, in.h / 2, in.b);
    again(in.d, in.i, in.h, in.b) += f(r, in.i, in.h, in.b) * in.v(in.d, r, in.h / 2, in.b);
    expect_refused({again}, {"culprit", "after the stream"});
}

TEST_F(BadDerivation, ScoresOfAFeature) {
    // An element of the scores is no result of a walk.
    Func attention = from_blocks(in, [](Inputs &, Expr s) { return s; })[0];
    f(in.d, in.i, in.h, in.b) = attention(in.d, in.i, in.h, in.b) + scores(in.q, in.k)(in.d, in.i, in.h, in.b);
    expect_refused({f}, {"culprit", "has an element of scores", "Reduce them over", "instead"});
}

TEST_F(BadDerivation, MeanOverRowsOfTheOutput) {
    // Rows are independent of each other: what mixes them is another algorithm.
    Func attention = from_blocks(in, [](Inputs &, Expr s) { return s; })[0];
    RDom rows(0, in.q.dim(1).extent());
    f(in.d, in.h, in.b) += attention(in.d, rows, in.h, in.b);
    expect_refused({f}, {"culprit"});
}

TEST_F(BadDerivation, TwoAxesOfKeys) {
    // Keys of a grid, walked row by row: one axis of keys is streamed.
    RDom r(0, in.keys(), 0, in.keys());
    Func s("s");
    s(in.j, in.i, in.h, in.b) = score();
    f(in.i, in.h, in.b) += s(r.x, in.i, in.h, in.b) * s(r.y, in.i, in.h, in.b);
    expect_refused({f}, {"culprit"});
}

}  // namespace
