// Sums over the stream that come before what separates is contracted (rule R8): interpreted, on the CPU and as blocks of GPU
// threads the same results as a walk for each row, at lengths around chunks and tiles.

#include "CpuHarness.h"
#include "lower/simt/LowerSimt.h"

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

struct Case {
    const char *name;
    Define define;
    Type type = Float(32);
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.name;
}

Expr feature(const Expr &x) {
    return select(x > 0.0f, x + 1.0f, exp(x));
}

Expr linear(Inputs &in) {
    RDom c(0, in.q.dim(0).extent());
    Func s("s");
    s(in.j, in.i, in.h, in.b) += feature(cast<float>(in.q(c, in.i, in.h, in.b))) *
                                 feature(cast<float>(in.k(c, in.j, grouped(in.h, Tensor(in.q), Tensor(in.k)), in.b)));
    return s(in.j, in.i, in.h, in.b);
}

/** out and the sum of the weights. */
std::vector<Func> sums(Inputs &in, const Expr &weight) {
    RDom all(0, in.keys());
    Func w("w"), total("total"), out("out"), sum("sum");
    w(in.j, in.i, in.h, in.b) = weight;
    total(in.i, in.h, in.b) += w(all, in.i, in.h, in.b);
    sum(in.i, in.h, in.b) = total(in.i, in.h, in.b);
    const Expr o = weighted_sum(w, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
    out(in.d, in.i, in.h, in.b) = cast(in.type, o / (total(in.i, in.h, in.b) + 1.0f));
    return {out, sum};
}

std::vector<Case> cases() {
    return {
        {"all", [](Inputs &in) { return sums(in, linear(in)); }},
        {"all_bf16", [](Inputs &in) { return sums(in, linear(in)); }, BFloat(16)},
        {"key_lengths", [](Inputs &in) { return sums(in, select(in.j < 37, linear(in), 0.0f)); }},
        {"causal", [](Inputs &in) { return sums(in, select(causal(in.i, in.j), linear(in), 0.0f)); }},
        {"causal_bf16", [](Inputs &in) { return sums(in, select(causal(in.i, in.j), linear(in), 0.0f)); }, BFloat(16)},
        {"causal_weighted",
         [](Inputs &in) {
             return sums(in, select(in.j < in.i && in.j < 70, linear(in) * in.scale / cast<float>(in.i + 1), 0.0f));
         }},
        {"prefix", [](Inputs &in) { return sums(in, select(prefix(in.i, in.j, 50), linear(in), 0.0f)); }},
    };
}

class Exchange : public testing::TestWithParam<Case> {};

const Shape shapes[] = {{1, 1, 1, 1, 1}, {5, 97, 2, 1, 2}, {33, 33, 2, 2, 1}, {70, 30, 1, 1, 1},
                        {20, 0, 1, 1, 1}, {0, 20, 1, 1, 1}, {129, 300, 1, 1, 2}};

void check(const Case &c, const Lower &lower) {
    CpuProgram program(c.define, c.type, 24, 16, 32, 16, lower, 1, true);
    ASSERT_NE(program.program.ahead, nullptr);
    for (const Shape &shape : shapes) {
        program.check(shape, {0, 1, 2, 3}, 3);
    }
}

TEST_P(Exchange, OnTheCpu) {
    check(GetParam(), lower_cpu);
}

TEST_P(Exchange, AsBlocksOfThreads) {
    for (bool descending : {false, true}) {
        check(GetParam(), [=](const TileProgram &program, const Choices &, const Target &) {
            return lower_simt_serially(program, descending);
        });
    }
}

/** The walk from the block on is part of the algebra: without what is ahead, results would differ. */
TEST_P(Exchange, IsTheWalkOfEachRow) {
    CpuProgram walked(GetParam().define, Float(32), 24, 16, 32, 16), exchanged(GetParam().define, Float(32), 24, 16, 32, 16, lower_cpu, 1, true);
    for (const Shape &shape : shapes) {
        walked.check(shape, {0, 1, 2, 3}, 1);
        exchanged.check(shape, {0, 1, 2, 3}, 1);
        for (const char *name : {"out", "sum"}) {
            const auto find = [&](CpuProgram &p) {
                for (const auto &[buffer, guarded] : p.buffers) {
                    if (buffer.substr(0, std::string(name).size()) == name) {
                        return guarded.inside;
                    }
                }
                return Buffer<>();
            };
            const Buffer<> a = find(walked), b = find(exchanged);
            ASSERT_TRUE(a.defined() && b.defined());
            for_each_index(a, [&](const std::vector<int> &at) {
                const double x = value_at(a, at), y = value_at(b, at);
                ASSERT_NEAR(x, y, 2e-5 * std::max(1.0, std::abs(x))) << name << " " << shape;
            });
        }
    }
}

INSTANTIATE_TEST_SUITE_P(, Exchange, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return info.param.name; });

}  // namespace
