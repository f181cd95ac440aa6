#ifndef STROBE_TESTS_TILE_HAND_MADE_H
#define STROBE_TESTS_TILE_HAND_MADE_H

/** \file
 * Attention as a graph and a plan written by hand, so that the tile stages are
 * tested without the stages before them; and a direct evaluation in double. */

#include "tile/BuildTiles.h"
#include "tile/InterpretTiles.h"

#include <cmath>
#include <functional>
#include <random>

namespace strobe::test {

using Halide::Expr;
using Halide::ImageParam;
using Halide::Type;

inline Expr axis_variable(const std::string &name) {
    return Halide::Internal::Variable::make(Halide::Int(32), name);
}

inline Expr value_variable(const std::string &name, Type type = Halide::Float(32)) {
    return Halide::Internal::Variable::make(type, name);
}

/** An element of an input, as a ReductionGraph holds it. */
inline Expr load(const ImageParam &input, const std::vector<Expr> &index) {
    return Halide::Internal::Call::make(input.parameter(), index);
}

struct Sizes {
    int queries = 1, keys = 1, heads = 1, batches = 1, group = 1;
    int features = 4, values = 3;
};

/** softmax(exponent(scores)) v with an optional mask, as a hand-made plan. */
struct HandMade {
    ImageParam q, k, v;
    Halide::Param<float> scale{"scale"};
    Expr i = axis_variable("i"), j = axis_variable("j"), h = axis_variable("h"), b = axis_variable("b"),
         d = axis_variable("d"), c = axis_variable("c");
    ReductionGraph graph;
    Plan plan;
    Type type;

    HandMade(Type t, const Sizes &sizes, int query_tile, int stream_tile)
        : q(t, 4, "q"), k(t, 4, "k"), v(t, 4, "v"), type(t) {
        choices.query_tile = query_tile;
        choices.stream_tile = stream_tile;
        q.dim(0).set_bounds(0, sizes.features);
        v.dim(0).set_bounds(0, sizes.values);
        const Expr zero = 0;
        graph.axes = {{"d", zero, q.dim(0).extent()}, {"i", zero, q.dim(1).extent()}, {"h", zero, q.dim(2).extent()},
                      {"b", zero, q.dim(3).extent()}, {"j", zero, k.dim(1).extent()}, {"c", zero, v.dim(0).extent()}};
        const Expr group = q.dim(2).extent() / k.dim(2).extent();
        kv_head = h / group;
        Reduction scores;
        scores.name = "scores";
        scores.type = Halide::Float(32);
        scores.axes = {"j", "i", "h", "b"};
        scores.over = {"d"};
        scores.body = Halide::cast<float>(load(q, {d, i, h, b})) * Halide::cast<float>(load(k, {d, j, kv_head, b}));
        graph.reductions = {scores};
        plan.roles = {"j", "i", {"h", "b"}, {"c"}, {"d"}};
        plan.inner = {"scores"};
    }

    Choices choices;
    Expr kv_head;

    Expr scores() const {
        return value_variable("%scores");
    }
    Expr value_load() const {
        return Halide::cast<float>(load(v, {c, j, kv_head, b}));
    }

    /** One pass: the running maximum of exponent, and the usual outputs. */
    void softmax(const Expr &exponent, const MaskVerdict &mask = {}) {
        Reduction weighted_sum;  // as an algorithm has it; what the plan keeps of it is %m1
        weighted_sum.name = "weighted_sum";
        weighted_sum.type = Halide::Float(32);
        weighted_sum.axes = {"c", "i", "h", "b"};
        weighted_sum.over = {"j"};
        weighted_sum.body = Halide::exp(exponent) * value_load();
        graph.reductions.push_back(weighted_sum);
        Pass pass;
        pass.pivots.push_back({"%p0", exponent, mask.guard, Pivot::Policy::RunningMax, Expr(), ""});
        pass.moments.push_back({"%m0", ReduceOp::Sum, Halide::Float(32), 0, mask.guard, Expr(), {"i", "h", "b"}});
        pass.moments.push_back(
            {"%m1", ReduceOp::Sum, Halide::Float(32), 0, mask.guard, value_load(), {"c", "i", "h", "b"}});
        pass.mask = mask;
        plan.passes = {pass};
        const Expr m0 = value_variable("%m0"), m1 = value_variable("%m1"), p0 = value_variable("%p0");
        output("out", type, {"c", "i", "h", "b"}, Halide::cast(type, Halide::select(m0 > 0, m1 / m0, 0.0f)));
        output("lse", Halide::Float(32), {"i", "h", "b"}, p0 + Halide::log(m0));
    }

    void output(const std::string &name, Type t, const std::vector<std::string> &axes, const Expr &value) {
        plan.outputs.push_back({name, t, axes, value});
        graph.outputs.push_back({name, t, axes, value});
    }

    TileProgram build() const {
        return build_tiles("hand_made", graph, plan, choices);
    }

    /** j <= i, with the verdict that a derivation would give. */
    MaskVerdict causal() const {
        MaskVerdict m;
        m.guard = j <= i;
        m.dead = axis_variable("j.lo") > axis_variable("i.hi");
        m.full = axis_variable("j.hi") <= axis_variable("i.lo");
        m.end = axis_variable("i.hi") + 1;
        m.contiguous = true;
        return m;
    }

    /** Same document, decided by summaries. */
    MaskVerdict same_document(const ImageParam &document) const {
        MaskVerdict m;
        m.guard = load(document, {i, b}) == load(document, {j, b});
        m.summaries = {{"%document.i", load(document, {i, b}), "i"}, {"%document.j", load(document, {j, b}), "j"}};
        const auto bound = [](const std::string &name) { return value_variable(name, Halide::Int(32)); };
        const Expr i_min = bound("%document.i.min"), i_max = bound("%document.i.max");
        const Expr j_min = bound("%document.j.min"), j_max = bound("%document.j.max");
        m.dead = i_max < j_min || j_max < i_min;
        m.full = i_min == i_max && j_min == j_max && i_min == j_min;
        return m;
    }
};

/** Random inputs of a size and buffers for out and lse, in double for exact runs. */
inline TileArguments random_arguments(Type t, const Sizes &s, bool exact, unsigned seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    TileArguments arguments;
    const auto fill = [&](const std::string &name, const std::vector<int> &extents) {
        Halide::Buffer<> buffer(t, extents, name);
        const size_t count = buffer.number_of_elements();
        for (size_t n = 0; n < count; n++) {
            const float x = uniform(engine);
            if (t.is_bfloat()) {
                ((Halide::bfloat16_t *)buffer.data())[n] = Halide::bfloat16_t(x);
            } else if (t.bits() == 16) {
                ((Halide::float16_t *)buffer.data())[n] = Halide::float16_t(x);
            } else {
                ((float *)buffer.data())[n] = x;
            }
        }
        arguments.buffers[name] = buffer;
    };
    fill("q", {s.features, s.queries, s.heads, s.batches});
    fill("k", {s.features, s.keys, s.heads / s.group, s.batches});
    fill("v", {s.values, s.keys, s.heads / s.group, s.batches});
    const Type out = exact ? Halide::Float(64) : t, lse = exact ? Halide::Float(64) : Halide::Float(32);
    arguments.buffers["out"] = Halide::Buffer<>(out, {s.values, s.queries, s.heads, s.batches}, "out");
    arguments.buffers["lse"] = Halide::Buffer<>(lse, {s.queries, s.heads, s.batches}, "lse");
    for (const char *name : {"out", "lse"}) {
        Halide::Buffer<> &buffer = arguments.buffers[name];
        std::memset(buffer.data(), 0xff, buffer.size_in_bytes());  // NaN in every floating-point type
    }
    arguments.scalars["scale"] = 0.7f;
    return arguments;
}

inline double element(const Halide::Buffer<> &buffer, const std::vector<int> &at) {
    const void *p = buffer.raw_buffer()->address_of(at.data());
    const Type t = buffer.type();
    return t.is_bfloat()    ? (double)(float)*(const Halide::bfloat16_t *)p
           : t.is_int()     ? (double)*(const int32_t *)p
           : t.bits() == 16 ? (double)(float)*(const Halide::float16_t *)p
           : t.bits() == 32 ? (double)*(const float *)p
                            : *(const double *)p;
}

/** The exponent of an element from its score, and whether it is live. */
using Score = std::function<double(double s, int i, int j, int h, int b)>;
using Live = std::function<bool(int i, int j, int b)>;

/** The largest absolute error of out and of lse against a direct evaluation in double. */
struct Errors {
    double out = 0, lse = 0;
    std::string first;  // where it was largest
};

inline Errors compare_with_direct(const TileArguments &a, const Sizes &s, const Score &score, const Live &live) {
    Errors errors;
    const auto note = [&](double &largest, const char *what, int c, int i, double got, double expected) {
        const double error = got == expected ? 0 : std::abs(got - expected);
        if (!(error <= largest)) {
            largest = std::isnan(error) ? INFINITY : error;
            std::ostringstream text;
            text << what << "(" << c << ", " << i << "): got " << got << ", expected " << expected;
            errors.first = text.str();
        }
    };
    for (int b = 0; b < s.batches; b++) {
        for (int h = 0; h < s.heads; h++) {
            for (int i = 0; i < s.queries; i++) {
                std::vector<double> e(s.keys, -INFINITY);
                double top = -INFINITY, sum = 0;
                for (int j = 0; j < s.keys; j++) {
                    double dot = 0;
                    for (int d = 0; d < s.features; d++) {
                        dot += element(a.buffers.at("q"), {d, i, h, b}) *
                               element(a.buffers.at("k"), {d, j, h / s.group, b});
                    }
                    e[j] = live(i, j, b) ? score(dot, i, j, h, b) : -INFINITY;
                    top = std::max(top, e[j]);
                }
                for (int j = 0; j < s.keys; j++) {
                    sum += top == -INFINITY ? 0 : std::exp(e[j] - top);
                }
                note(errors.lse, "lse", 0, i, element(a.buffers.at("lse"), {i, h, b}), top + std::log(sum));
                for (int c = 0; c < s.values; c++) {
                    double out = 0;
                    for (int j = 0; j < s.keys && sum > 0; j++) {
                        out += std::exp(e[j] - top) / sum * element(a.buffers.at("v"), {c, j, h / s.group, b});
                    }
                    note(errors.out, "out", c, i, element(a.buffers.at("out"), {c, i, h, b}), out);
                }
            }
        }
    }
    return errors;
}

}  // namespace strobe::test

#endif
