#ifndef STROBE_TESTS_LOWER_CPU_HARNESS_H
#define STROBE_TESTS_LOWER_CPU_HARNESS_H

/** \file
 * Runs an algorithm three ways: as loops for the CPU, by interpreting its tile
 * program as declared, and by interpreting it exactly (in double). */

#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "lower/Lower.h"
#include "lower/ReplaceNest.h"
#include "lower/cpu/LowerCpu.h"
#include "strobe/attention.h"
#include "tile/BuildTiles.h"
#include "tile/InterpretTiles.h"
#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

namespace strobe::test {

using Halide::Buffer;
using Halide::Expr;
using Halide::Func;
using Halide::ImageParam;
using Halide::Type;
using Halide::Var;

struct Shape {
    int queries = 1, keys = 1, heads = 1, kv_heads = 1, batches = 1;
};

inline std::ostream &operator<<(std::ostream &s, const Shape &x) {
    return s << "queries " << x.queries << " keys " << x.keys << " heads " << x.heads << "/" << x.kv_heads
             << " batches " << x.batches;
}

/** Inputs q, k, v, features of pairs (feature, key, query, batch), as many as v has, a (key, query) bias and
 * document ids; an algorithm uses what it likes of them. */
struct Inputs {
    ImageParam q, k, v, pair, bias{Halide::Float(32), 2, "bias"}, document{Halide::Int(32), 2, "document"};
    Halide::Param<float> scale{"scale"};
    Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};
    const Type type;
    const int head_dim, value_dim;

    Inputs(Type t, int d, int dv) : q(t, 4, "q"), k(t, 4, "k"), v(t, 4, "v"), pair(t, 4, "pair"), type(t), head_dim(d),
          value_dim(dv) {
        for (ImageParam *p : {&q, &k, &v, &pair}) {
            p->dim(0).set_bounds(0, p == &v || p == &pair ? dv : d).set_stride(Expr());
        }
        bias.dim(0).set_stride(Expr());
        document.dim(0).set_stride(Expr());
        scale.set(1.0f / std::sqrt(float(d)));
    }
    Expr score() {
        return strobe::scores(Tensor(q), Tensor(k))(j, i, h, b) * scale;
    }
    Expr keys() {
        return k.dim(1).extent();
    }
    /** out and lse of a softmax over s. */
    std::vector<Func> attend(const Expr &s) {
        const Softmax p = softmax(s, keys());
        Func out("out"), lse("lse");
        out(d, i, h, b) = Halide::cast(type, weighted_sum(p.weights, Tensor(v), Tensor(q))(d, i, h, b));
        lse(i, h, b) = p.lse(i, h, b);
        return {out, lse};
    }
};

/** Builds the outputs of an algorithm from its inputs. */
using Define = std::function<std::vector<Func>(Inputs &)>;

/** A buffer inside a larger one of NaN (or a large integer): dimension order[0] is innermost. */
struct Guarded {
    Buffer<> whole, inside;

    Guarded() = default;
    Guarded(Type t, const std::vector<int> &sizes, const std::vector<int> &order, int margin);
    /** Elements outside `inside` that are no longer what they were. */
    int64_t overwritten() const;
};

/** Makes a program's loop nest for the CPU. */
using Lower = std::function<Halide::Internal::Stmt(const TileProgram &, const Choices &, const Halide::Target &)>;

class CpuProgram {
    Inputs inputs;
    Halide::Pipeline pipeline;
    std::vector<Func> outputs;
    std::mt19937 random;

    void bind(const std::vector<int> &order, int margin, const Shape &shape);

public:
    TileProgram program;
    std::map<std::string, Guarded> buffers;  // of the last run

    CpuProgram(const Define &define, Type type, int head_dim, int value_dim, int query_tile, int stream_tile,
               const Lower &lower = lower_cpu, int parts = 1, bool exchange = false);

    /** Runs all three ways; fails where the CPU's result is farther from the exact one
     * than twice the declared arithmetic's, plus one rounding of the output. The
     * storage order is that of the rank 4 buffers. */
    void check(const Shape &shape, const std::vector<int> &order = {0, 1, 2, 3}, int margin = 0);

    Halide::Pipeline &compiled() {
        return pipeline;
    }
    Inputs &given() {
        return inputs;
    }
};

double value_at(const Buffer<> &buffer, const std::vector<int> &at);

/** Calls f with each index of the buffer. */
void for_each_index(const Buffer<> &buffer, const std::function<void(const std::vector<int> &)> &f);

}  // namespace strobe::test

#endif
