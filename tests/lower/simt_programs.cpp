// The general GPU form, run serially on the CPU against the interpreter: what lies
// between two barriers runs to its end for one thread before the next one starts, in
// both orders of threads.

#include "CpuHarness.h"
#include "lower/simt/LowerSimt.h"

#include <cmath>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

const Shape ragged[] = {{1, 1, 1, 1, 1}, {5, 3, 2, 1, 1}, {65, 97, 2, 2, 1}, {31, 70, 4, 2, 1}, {33, 133, 3, 3, 1}};

Lower serially(bool descending) {
    return [=](const TileProgram &program, const Choices &, const Target &) {
        return lower_simt_serially(program, descending);
    };
}

void check_ragged(const Define &define, Type type, int head_dim, int value_dim, int query_tile, int stream_tile) {
    for (bool descending : {false, true}) {
        SCOPED_TRACE(descending ? "last thread first" : "first thread first");
        CpuProgram program(define, type, head_dim, value_dim, query_tile, stream_tile, serially(descending));
        int margin = 4;  // rows at multiples of 16 bytes, if the features are; or not
        for (const Shape &shape : ragged) {
            program.check(shape, {0, 1, 2, 3}, margin);
            margin = 5 - margin;
        }
    }
}

std::vector<Func> causal(Inputs &in) {
    return in.attend(where(strobe::causal(in.i, in.j), in.score()));
}

std::vector<Func> full(Inputs &in) {
    return in.attend(in.score());
}

TEST(SimtPrograms, full) {
    check_ragged(full, Float(32), 16, 24, 32, 48);
}

TEST(SimtPrograms, causal) {
    check_ragged(causal, Float(32), 40, 64, 64, 32);
}

TEST(SimtPrograms, bfloat16) {
    check_ragged(causal, BFloat(16), 32, 16, 16, 40);
}

TEST(SimtPrograms, float16) {
    check_ragged(causal, Float(16), 16, 32, 30, 64);
}

TEST(SimtPrograms, odd_feature_sizes) {
    check_ragged(causal, Float(32), 5, 3, 7, 9);
}

TEST(SimtPrograms, one_feature) {
    check_ragged(full, Float(32), 1, 1, 6, 16);
}

TEST(SimtPrograms, wide_features) {
    check_ragged(full, Float(32), 80, 160, 16, 16);
}

/** On the matrix unit two warps, or four, share their rows. */
TEST(SimtPrograms, warps_that_share_rows) {
    check_ragged(causal, BFloat(16), 16, 336, 32, 16);
    check_ragged(full, BFloat(16), 24, 520, 16, 24);
}

TEST(SimtPrograms, bias_tensor) {
    check_ragged([](Inputs &in) { return in.attend(in.score() + in.bias(in.j, in.i)); }, Float(32), 16, 16, 16, 32);
}

TEST(SimtPrograms, softcap) {
    check_ragged([](Inputs &in) { return in.attend(strobe::softcap(in.score(), 2.0f)); }, Float(32), 16, 16, 16, 32);
}

TEST(SimtPrograms, document_mask) {
    check_ragged(
        [](Inputs &in) { return in.attend(where(strobe::same_document(in.document, in.i, in.j, in.b), in.score())); },
        Float(32), 16, 16, 16, 32);
}

TEST(SimtPrograms, sliding_window_leaves_rows_empty) {
    check_ragged([](Inputs &in) { return in.attend(where(strobe::sliding_window(in.i, in.j, 20), in.score())); },
                 Float(32), 16, 16, 16, 32);
}

TEST(SimtPrograms, sigmoid_without_normaliser) {
    check_ragged(
        [](Inputs &in) {
            Func weights("weights"), out("out");
            weights(in.j, in.i, in.h, in.b) = 1.0f / (1.0f + exp(-in.score()));
            out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
            return std::vector<Func>{out};
        },
        Float(32), 16, 8, 16, 32);
}

/** Two walks: the second needs the first one's row means. */
TEST(SimtPrograms, two_passes) {
    check_ragged(
        [](Inputs &in) {
            RDom r(0, in.keys(), "j");
            Func s("s"), mean("mean"), weights("weights"), out("out");
            s(in.j, in.i, in.h, in.b) = in.score();
            mean(in.i, in.h, in.b) += s(r, in.i, in.h, in.b);
            const Expr m = mean(in.i, in.h, in.b) / cast<float>(in.keys());
            weights(in.j, in.i, in.h, in.b) = max(s(in.j, in.i, in.h, in.b) - m, 0.0f);
            out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
            return std::vector<Func>{out};
        },
        Float(32), 16, 8, 16, 32);
}

/** Two pivots, two accumulators and a weight that is no exponential. */
TEST(SimtPrograms, other_reductions) {
    check_ragged(
        [](Inputs &in) {
            RDom r(0, in.keys(), "j");
            Func s("s"), sum("sum"), other("other"), a("a"), b("b"), relu("relu"), out("out");
            s(in.j, in.i, in.h, in.b) = in.score();
            const Expr score = s(r, in.i, in.h, in.b), bias = in.bias(r, in.i) * 3.0f;
            const Expr value = cast<float>(in.v(in.d, r, in.h / (in.q.dim(2).extent() / in.v.dim(2).extent()), in.b));
            sum(in.i, in.h, in.b) += exp(score);
            other(in.i, in.h, in.b) += exp(bias);
            a(in.d, in.i, in.h, in.b) += exp(score) * value;
            b(in.d, in.i, in.h, in.b) += exp(bias) * select(bias > 0.5f, 2.0f, 0.0f) * value;
            relu(in.d, in.i, in.h, in.b) += max(score, 0.0f) * value;
            out(in.d, in.i, in.h, in.b) = a(in.d, in.i, in.h, in.b) / sum(in.i, in.h, in.b) -
                                          b(in.d, in.i, in.h, in.b) / other(in.i, in.h, in.b) +
                                          relu(in.d, in.i, in.h, in.b) / cast<float>(in.keys());
            return std::vector<Func>{out};
        },
        Float(32), 16, 24, 16, 32);
}

/** Each row's weights are what the keys before leave: sums carried from tile to tile. */
std::vector<Func> running_sums(Inputs &in, Type type, bool inclusive) {
    RDom before(0, in.v.dim(1).extent(), "before");
    Func s("s"), sum("sum"), weights("weights"), out("out");
    s(in.j, in.i, in.h, in.b) = in.score();
    const Expr behind = inclusive ? before <= in.j : before < in.j;
    sum(in.j, in.i, in.h, in.b) += select(behind, cast(type, abs(s(before, in.i, in.h, in.b))), cast(type, 0));
    weights(in.j, in.i, in.h, in.b) = exp(-cast<float>(sum(in.j, in.i, in.h, in.b))) * s(in.j, in.i, in.h, in.b);
    out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
    return {out};
}

TEST(SimtPrograms, running_sums) {
    for (const Type &type : {Float(32), Float(64)}) {
        for (const bool inclusive : {false, true}) {
            SCOPED_TRACE(inclusive ? "up to the current key" : "up to the key before");
            check_ragged([=](Inputs &in) { return running_sums(in, type, inclusive); }, Float(32), 16, 8, 16, 24);
        }
    }
}

/** Mean errors of attention over many keys against float64, as multiples of those of the
 * same sums one term after another. */
double mean_error_of_chains(const Define &define, int head_dim, int keys) {
    CpuProgram blocks(define, Float(32), head_dim, head_dim, 32, 64, serially(false));
    blocks.check({24, keys, 1, 1, 1});
    const Buffer<> q = blocks.buffers.at("q").inside, k = blocks.buffers.at("k").inside, v = blocks.buffers.at("v").inside;
    const std::string name = blocks.program.outputs[0].name;
    const Buffer<> out = blocks.buffers.at(name).inside;
    const float scale = blocks.given().scale.get();
    double ours = 0, chains = 0;
    for (int i = 0; i < 24; i++) {
        std::vector<double> exact(keys);
        std::vector<float> plain(keys);
        double greatest = -1e300, sum = 0;
        float plain_sum = 0;
        for (int j = 0; j < keys; j++) {
            double s = 0;
            float f = 0;
            for (int d = 0; d < head_dim; d++) {
                const double x = value_at(q, {d, i, 0, 0}), y = value_at(k, {d, j, 0, 0});
                s += x * y;
                f = std::fma((float)x, (float)y, f);
            }
            exact[j] = s * scale;
            plain[j] = f * scale;
            greatest = std::max(greatest, exact[j]);
        }
        const float top = *std::max_element(plain.begin(), plain.end());
        for (int j = 0; j < keys; j++) {
            sum += exact[j] = std::exp(exact[j] - greatest);
            plain_sum += plain[j] = std::exp(plain[j] - top);
        }
        for (int d = 0; d < head_dim; d++) {
            double e = 0;
            float f = 0;
            for (int j = 0; j < keys; j++) {
                const double x = value_at(v, {d, j, 0, 0});
                e += exact[j] * x;
                f = std::fma(plain[j], (float)x, f);
            }
            ours += std::abs(value_at(out, {d, i, 0, 0}) - e / sum);
            chains += std::abs(f / plain_sum - e / sum);
        }
    }
    return ours / chains;
}

TEST(SimtPrograms, long_sums_are_split) {
    EXPECT_LT(mean_error_of_chains(full, 64, 1500), 0.6);
    EXPECT_LT(mean_error_of_chains(full, 64, 100), 0.9);
    EXPECT_LT(mean_error_of_chains(full, 256, 300), 0.7);
}

TEST(SimtPrograms, empty_tensors) {
    CpuProgram program(causal, Float(32), 8, 8, 16, 16, serially(false));
    program.check({20, 0, 2, 1, 1}, {0, 1, 2, 3}, 2);
    program.check({0, 20, 2, 1, 1}, {0, 1, 2, 3}, 2);
    program.check({20, 20, 2, 1, 0}, {0, 1, 2, 3}, 2);
}

TEST(SimtPrograms, all_storage_orders) {
    CpuProgram program(causal, Float(32), 24, 16, 16, 32, serially(false));
    std::vector<int> order = {0, 1, 2, 3};
    do {
        program.check({37, 45, 4, 2, 2}, order, 1);
    } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
