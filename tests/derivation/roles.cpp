// What each axis is for, found from its use.
#include "derivation/Roles.h"
#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;

namespace {

using Names = std::vector<std::string>;

Roles roles_of(const std::vector<Func> &outputs) {
    return find_roles(read_algorithm(outputs));
}

ScoreOf plain() {
    return [](Inputs &, Expr s) { return s; };
}

TEST(Roles, OfAttention) {
    Inputs in;
    const Roles r = roles_of(from_blocks(in, plain()));
    EXPECT_EQ(r.stream, "j");
    EXPECT_EQ(r.query, "i");
    EXPECT_EQ(r.batch, (Names{"h", "b"}));
    EXPECT_EQ(r.features, Names{"d"});
    EXPECT_EQ(r.inner, Names{"d_1"});
}

TEST(Roles, DoNotDependOnNames) {
    Inputs in;
    in.d = Var("h");
    in.h = Var("j");
    in.j = Var("i");
    in.i = Var("d");
    const Roles r = roles_of(bare(in, plain()));
    EXPECT_EQ(r.features, Names{"h"});
    EXPECT_EQ(r.query, "d");
    EXPECT_EQ(r.batch, (Names{"j", "b"}));
}

TEST(Roles, OfAMultiQueryHead) {
    // Keys and values without a head dimension: the head is still no row.
    Inputs in;
    ImageParam k(Halide::Float(32), 3, "k"), v(Halide::Float(32), 3, "v");
    RDom depth(0, in.q.dim(0).extent()), r(0, k.dim(1).extent());
    Func s("s"), w("w"), l("l"), o("o"), out("out");
    s(in.j, in.i, in.h, in.b) += in.q(depth, in.i, in.h, in.b) * k(depth, in.j, in.b);
    w(in.j, in.i, in.h, in.b) = Halide::exp(s(in.j, in.i, in.h, in.b));
    l(in.i, in.h, in.b) += w(r, in.i, in.h, in.b);
    o(in.d, in.i, in.h, in.b) += w(r, in.i, in.h, in.b) * v(in.d, r, in.b);
    out(in.d, in.i, in.h, in.b) = o(in.d, in.i, in.h, in.b) / l(in.i, in.h, in.b);
    const Roles roles = roles_of({out});
    EXPECT_EQ(roles.query, "i");
    EXPECT_EQ(roles.batch, (Names{"h", "b"}));
    EXPECT_EQ(roles.features, Names{"d"});
}

TEST(Roles, OfAnOperandThatDependsOnTheRow) {
    // Pair values: one operand has the row too, the others decide.
    Inputs in;
    ImageParam z(Halide::Float(32), 4, "z");
    Softmax p = softmax(scores(in.q, in.k)(in.j, in.i, in.h, in.b), in.keys());
    RDom r(0, in.keys());
    Var c("c");
    Func pairs("pairs"), values = weighted_sum(p.weights, in.v, in.q);
    pairs(c, in.i, in.h, in.b) += p.weights(r, in.i, in.h, in.b) * z(c, r, in.i, in.b);
    const Roles roles = roles_of({values, pairs, p.lse});
    EXPECT_EQ(roles.query, "i");
    EXPECT_EQ(roles.batch, (Names{"h", "b"}));
    EXPECT_EQ(roles.features, (Names{"d", "c"}));
}

TEST(Roles, OfATransposedOutput) {
    Inputs in;
    Func attention = from_blocks(in, plain())[0], out("transposed");
    out(in.d, in.h, in.i, in.b) = attention(in.d, in.i, in.h, in.b);
    const Roles r = roles_of({out});
    EXPECT_EQ(r.query, "i");
    EXPECT_EQ(r.batch, (Names{"h", "b"}));
}

TEST(Roles, OfStatisticsPerRowAndPerKey) {
    Inputs in;
    RDom depth(0, in.q.dim(0).extent());
    Func rows("rows"), columns("columns");
    rows(in.i, in.h, in.b) += in.q(depth, in.i, in.h, in.b) * in.q(depth, in.i, in.h, in.b);
    columns(in.j, in.h, in.b) += in.k(depth, in.j, in.h, in.b) * in.k(depth, in.j, in.h, in.b);
    Expr s =
        scores(in.q, in.k)(in.j, in.i, in.h, in.b) / Halide::sqrt(rows(in.i, in.h, in.b) * columns(in.j, in.h, in.b));
    const Roles r = roles_of({weighted_sum(softmax(s, in.keys()).weights, in.v, in.q)});
    EXPECT_EQ(r.stream, "j");
    EXPECT_EQ(r.query, "i");
}

TEST(Roles, OfARunningSumAlone) {
    // The keys are walked for each key: the stream is what the outputs reduce.
    Inputs in;
    RDom all(0, in.keys()), until(0, in.keys());
    Func s("s"), running("running"), w("w"), out("out");
    s(in.j, in.i, in.h, in.b) = scores(in.q, in.k)(in.j, in.i, in.h, in.b);
    running(in.j, in.i, in.h, in.b) += Halide::select(until <= in.j, s(until, in.i, in.h, in.b), 0.0f);
    w(in.j, in.i, in.h, in.b) = Halide::exp(-running(in.j, in.i, in.h, in.b));
    out(in.d, in.i, in.h, in.b) += w(all, in.i, in.h, in.b) * in.v(in.d, all, in.h / 2, in.b);
    const Roles roles = roles_of({out});
    EXPECT_EQ(roles.stream, "j");
    EXPECT_EQ(roles.query, "i");
    EXPECT_EQ(roles.features, Names{"d"});
}

TEST(Roles, OfOneReductionBehindTwoOverFeatures) {
    // A norm and a dot product over the head dimension build on each other; the keys are the stream all the same.
    Inputs in;
    in.q.dim(0).set_bounds(0, 8);
    in.k.dim(0).set_bounds(0, 8);
    RDom c(0, 8), all(0, in.keys());
    Func squares("squares"), s("s"), w("w"), out("out");
    squares(in.i, in.h, in.b) += in.q(c, in.i, in.h, in.b) * in.q(c, in.i, in.h, in.b);
    s(in.j, in.i, in.h, in.b) += in.q(c, in.i, in.h, in.b) / Halide::sqrt(squares(in.i, in.h, in.b)) *
                                 in.k(c, in.j, in.h / 2, in.b);
    w(in.j, in.i, in.h, in.b) = sigmoid(s(in.j, in.i, in.h, in.b));
    out(in.d, in.i, in.h, in.b) += w(all, in.i, in.h, in.b) * in.v(in.d, all, in.h / 2, in.b);
    const Roles roles = roles_of({out});
    EXPECT_EQ(roles.stream, "j");
    EXPECT_EQ(roles.query, "i");
}

}  // namespace
