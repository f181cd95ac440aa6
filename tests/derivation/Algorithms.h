#ifndef STROBE_TESTS_DERIVATION_ALGORITHMS_H
#define STROBE_TESTS_DERIVATION_ALGORITHMS_H

/** \file
 * Attention algorithms for tests, in two writings: with the building blocks, and
 * with bare Funcs, other names and other habits. */

#include "Evaluate.h"
#include "strobe/attention.h"

namespace strobe::test {

using Halide::Expr;
using Halide::Func;
using Halide::ImageParam;
using Halide::Param;
using Halide::RDom;
using Halide::Type;
using Halide::Var;

struct Sizes {
    int queries = 5, keys = 13, features = 3, values = 2, heads = 4, group = 2, batches = 2;
};

/** Inputs with reproducible values. */
struct Inputs {
    ImageParam q, k, v, slopes{Halide::Float(32), 1, "slopes"}, document{Halide::Int(32), 2, "document"},
        lengths{Halide::Int(32), 1, "lengths"}, bias{Halide::Float(32), 4, "bias"}, q2, k2;
    Param<float> scale{"scale"}, cap{"cap", 30.0f, 1e-3f, 40.0f}, lambda{"lambda"};
    Param<int> window{"window"}, prefix{"prefix"};
    Var i{"i"}, j{"j"}, h{"h"}, b{"b"}, d{"d"};
    Sizes sizes;

    explicit Inputs(Type t = Halide::Float(32))
        : q(t, 4, "q"), k(t, 4, "k"), v(t, 4, "v"), q2(t, 4, "q2"), k2(t, 4, "k2") {
    }

    Expr keys() const {
        return k.dim(1).extent();
    }

    static double noise(const std::string &name, const std::vector<int> &at, unsigned seed) {
        size_t hash = std::hash<std::string>()(name) + seed * 7919;
        for (int x : at) {
            hash = hash * 1000003 + size_t(x) * 2654435761u + 12345;
            hash ^= hash >> 17;
        }
        return double(hash % 20001) / 10000 - 1;
    }

    /** Elements are in [-size, size]. */
    Data data(unsigned seed = 0, double size = 1) const {
        Data data;
        const Sizes s = sizes;
        const std::map<std::string, std::vector<int>> extents = {
            {"q", {s.features, s.queries, s.heads, s.batches}},
            {"q2", {s.features, s.queries, s.heads, s.batches}},
            {"k", {s.features, s.keys, s.heads / s.group, s.batches}},
            {"k2", {s.features, s.keys, s.heads / s.group, s.batches}},
            {"v", {s.values, s.keys, s.heads / s.group, s.batches}},
            {"bias", {s.keys, s.queries, s.heads, s.batches}},
            {"slopes", {s.heads}}};
        for (const auto &[name, extent] : extents) {
            data.inputs[name] = [name = name, extent = extent, seed, size](const std::vector<int> &at) {
                for (size_t n = 0; n < at.size(); n++) {
                    if (at[n] < 0 || at[n] >= extent.at(n)) {
                        throw std::runtime_error(name + " read outside its bounds");
                    }
                }
                return size * noise(name, at, seed);
            };
            for (size_t n = 0; n < extent.size(); n++) {
                data.scalars[name + ".extent." + std::to_string(n)] = extent[n];
            }
        }
        // Some rows beyond the shorter documents and lengths see nothing.
        data.inputs["document"] = [](const std::vector<int> &at) { return at[0] / 4 + (at[0] == 2 ? 100 : 0); };
        data.inputs["lengths"] = [](const std::vector<int> &at) { return at[0] == 0 ? 0 : 6; };
        data.scalars["scale"] = 0.7;
        data.scalars["cap"] = 3;
        data.scalars["lambda"] = 0.3;
        data.scalars["window"] = 2;
        data.scalars["prefix"] = 3;
        return data;
    }

    /** The bounds of an output's buffer. */
    static void add_output(Data &data, const std::string &name, const std::vector<int> &extents) {
        for (size_t n = 0; n < extents.size(); n++) {
            data.scalars[name + ".min." + std::to_string(n)] = 0;
            data.scalars[name + ".extent." + std::to_string(n)] = extents[n];
        }
    }
};

/** A score from the scaled product s, over in.i, in.j, in.h, in.b. */
using ScoreOf = std::function<Expr(Inputs &in, Expr s)>;

struct Variant {
    const char *name;
    ScoreOf score;  // masked by -inf
};

inline std::ostream &operator<<(std::ostream &stream, const Variant &v) {
    return stream << v.name;
}

inline const std::vector<Variant> &variants() {
    static const std::vector<Variant> all = {
        {"full", [](Inputs &, Expr s) { return s; }},
        {"causal", [](Inputs &in, Expr s) { return where(causal(in.i, in.j), s); }},
        {"alibi", [](Inputs &in, Expr s) { return s + alibi(in.i, in.j, in.slopes(in.h)); }},
        {"softcap", [](Inputs &in, Expr s) { return softcap(s, in.cap); }},
        {"sliding_window", [](Inputs &in, Expr s) { return where(sliding_window(in.i, in.j, in.window), s); }},
        {"prefix_lm", [](Inputs &in, Expr s) { return where(prefix(in.i, in.j, in.prefix), s); }},
        {"document_mask", [](Inputs &in, Expr s) { return where(same_document(in.document, in.i, in.j, in.b), s); }}};
    return all;
}

/** out and lse, from include/strobe. */
inline std::vector<Func> from_blocks(Inputs &in, const ScoreOf &score) {
    Expr s = score(in, scores(in.q, in.k)(in.j, in.i, in.h, in.b) * in.scale);
    Softmax p = softmax(s, in.keys());
    Func out("out"), lse("lse");
    out(in.d, in.i, in.h, in.b) =
        Halide::cast(in.v.type(), weighted_sum(p.weights, in.v, in.q)(in.d, in.i, in.h, in.b));
    lse(in.i, in.h, in.b) = p.lse(in.i, in.h, in.b);
    return {out, lse};
}

/** The same, bare: no row maximum, the division behind the sum, max(), select() and
 * operator+= as they come, other names, one RDom for all, dimensions of lse called differently. */
inline std::vector<Func> bare(Inputs &in, const ScoreOf &score) {
    Var x("x"), y("y"), z("z");
    Expr g = in.q.dim(2).extent() / in.k.dim(2).extent();
    RDom depth(0, in.q.dim(0).extent()), r(0, in.keys());
    Func dot("dot"), a("a"), weight("weight"), total("total"), sum("sum"), out("result"), lse("logarithm");
    dot(in.j, in.i, in.h, in.b) = 0.0f;
    dot(in.j, in.i, in.h, in.b) =
        Halide::cast<float>(in.k(depth, in.j, in.h / g, in.b)) * Halide::cast<float>(in.q(depth, in.i, in.h, in.b)) +
        dot(in.j, in.i, in.h, in.b);
    a(in.j, in.i, in.h, in.b) = score(in, dot(in.j, in.i, in.h, in.b) * in.scale);
    weight(in.j, in.i, in.h, in.b) = Halide::exp(a(in.j, in.i, in.h, in.b));
    total(in.i, in.h, in.b) += weight(r, in.i, in.h, in.b);
    sum(in.d, in.i, in.h, in.b) += weight(r, in.i, in.h, in.b) * Halide::cast<float>(in.v(in.d, r, in.h / g, in.b));
    out(in.d, in.i, in.h, in.b) = Halide::cast(in.v.type(), sum(in.d, in.i, in.h, in.b) / total(in.i, in.h, in.b));
    lse(x, y, z) = Halide::log(total(x, y, z));
    return {out, lse};
}

/** The bounds of out and lse in \p data. */
inline void add_outputs(Data &data, const ReductionGraph &graph, const Sizes &s) {
    for (const Output &o : graph.outputs) {
        std::vector<int> extents = {s.queries, s.heads, s.batches};
        if (o.axes.size() == 4) {
            extents.insert(extents.begin(), s.values);
        }
        Inputs::add_output(data, o.name, extents);
    }
}

}  // namespace strobe::test

#endif
