#ifndef STROBE_TESTS_SCHEDULE_HAND_MADE_PLANS_H
#define STROBE_TESTS_SCHEDULE_HAND_MADE_PLANS_H

/** \file
 * Graphs and plans written out by hand, so that these tests depend neither on the
 * reading of algorithms nor on the derivation. */

#include "derivation/Plan.h"

namespace strobe {
namespace hand_made {

using namespace Halide;

enum class Mask {
    None,
    Causal,
    Window,  // j <= i && i - j <= window
    Document
};

struct Options {
    int head = 64, value = 64;
    Type element = BFloat(16);
    Mask mask = Mask::None;
    bool softcap = false;
    bool threshold = false;    // one reduction is a barrier: two passes
    int heads_per_output = 1;  // 2: two softmaxes over different scores
};

struct Example {
    ReductionGraph graph;
    Plan plan;
};

inline Expr axis(const std::string &name) {
    return Internal::Variable::make(Int(32), name);
}

inline Expr load(const std::string &input, Type t, std::vector<Expr> args) {
    Parameter p(t, true, (int)args.size(), input);
    return Internal::Call::make(p, std::move(args));
}

inline Expr scalar(const std::string &name, Type t) {
    return Internal::Variable::make(t, name, Parameter(t, false, 0, name));
}

inline Expr guard_of(Mask mask) {
    Expr i = axis("i"), j = axis("j");
    switch (mask) {
    case Mask::None:
        return Expr();
    case Mask::Causal:
        return j <= i;
    case Mask::Window:
        return j <= i && i - j <= scalar("window", Int(32));
    case Mask::Document:
        return load("doc", Int(32), {i}) == load("doc", Int(32), {j});
    }
    return Expr();
}

inline MaskVerdict verdict_of(Mask mask) {
    MaskVerdict v;
    Expr ilo = axis("i.lo"), ihi = axis("i.hi"), jlo = axis("j.lo"), jhi = axis("j.hi");
    v.guard = guard_of(mask);
    if (mask == Mask::Causal) {
        v.dead = jlo > ihi;
        v.full = jhi <= ilo;
        v.end = ihi + 1;
        v.contiguous = true;
        v.text = "j <= i";
    } else if (mask == Mask::Window) {
        Expr window = scalar("window", Int(32));
        v.dead = jlo > ihi || ilo - jhi > window;
        v.full = jhi <= ilo && ihi - jlo <= window;
        v.begin = ilo - window;
        v.end = ihi + 1;
        v.contiguous = true;
        v.text = "j <= i && i - j <= window";
    } else if (mask == Mask::Document) {
        v.summaries = {{"%doc.i", load("doc", Int(32), {axis("i")}), "i"},
                       {"%doc.j", load("doc", Int(32), {axis("j")}), "j"}};
        Expr imin = axis("%doc.i.min"), imax = axis("%doc.i.max"), jmin = axis("%doc.j.min"), jmax = axis("%doc.j.max");
        v.dead = imax < jmin || jmax < imin;
        v.full = imin == imax && jmin == jmax && imin == jmin;
        v.text = "doc(i) == doc(j)";
    }
    return v;
}

inline Moment moment(const std::string &name, ReduceOp op, int pivot, Expr guard, Expr factor,
                     std::vector<std::string> axes) {
    Moment m;
    m.name = name;
    m.op = op;
    m.type = Float(32);
    m.pivot = pivot;
    m.guard = guard;
    m.factor = factor;
    m.axes = axes;
    return m;
}

/** Scores, a softmax over j, and a weighted sum of the values. */
inline Example attention(const Options &o = {}) {
    Example x;
    ReductionGraph &g = x.graph;
    Expr i = axis("i"), j = axis("j"), h = axis("h"), b = axis("b"), c = axis("c"), d = axis("d");
    g.axes = {{"d", 0, o.value}, {"i", 0, axis("query_length")}, {"h", 0, axis("heads")}, {"b", 0, axis("batch")},
              {"c", 0, o.head},  {"j", 0, axis("key_length")}};
    Plan &plan = x.plan;
    plan.roles.query = "i";
    plan.roles.stream = "j";
    plan.roles.batch = {"h", "b"};
    plan.roles.features = {"d"};
    plan.roles.inner = {"c"};

    Expr guard = guard_of(o.mask);
    std::vector<Expr> masked, exponents;
    for (int n = 0; n < o.heads_per_output; n++) {
        const std::string suffix = n ? std::to_string(n) : "";
        Expr head = h * o.heads_per_output + n;
        Expr body =
            cast<float>(load("q", o.element, {c, i, head, b})) * cast<float>(load("k", o.element, {c, j, head, b}));
        g.reductions.push_back(
            {"scores" + suffix, Float(32), {"j", "i", "h", "b"}, {"c"}, ReduceOp::Sum, Expr(), body});
        plan.inner.push_back("scores" + suffix);
        Expr s = g.reductions.back().ref() * 0.125f;
        if (o.softcap) {
            Expr cap = scalar("cap", Float(32));
            s = cap * tanh(s / cap);
        }
        exponents.push_back(s);
        masked.push_back(guard.defined() ? select(guard, s, -Float(32).max()) : s);
    }
    Pass pass;
    pass.mask = verdict_of(o.mask);
    Expr v = cast<float>(load("v", o.element, {d, j, h, b}));
    Expr result;
    for (int n = 0; n < o.heads_per_output; n++) {
        const std::string suffix = n ? std::to_string(n) : "", number = std::to_string(n);
        g.reductions.push_back(
            {"row_max" + suffix, Float(32), {"i", "h", "b"}, {"j"}, ReduceOp::Max, Expr(), masked[n]});
        Expr p = exp(masked[n] - g.reductions.back().ref());
        g.reductions.push_back({"row_sum" + suffix, Float(32), {"i", "h", "b"}, {"j"}, ReduceOp::Sum, Expr(), p});
        Expr l = g.reductions.back().ref();
        g.reductions.push_back({"acc" + suffix, Float(32), {"d", "i", "h", "b"}, {"j"}, ReduceOp::Sum, Expr(), p * v});
        Expr o_n = g.reductions.back().ref() / l;
        result = result.defined() ? result - o_n : o_n;

        Pivot pivot;
        pivot.name = "%p" + number;
        pivot.exponent = exponents[n];
        pivot.guard = guard;
        pivot.reason = "the exponent is not bounded";
        pass.pivots.push_back(pivot);
        pass.moments.push_back(moment("%m" + std::to_string(2 * n), ReduceOp::Sum, n, guard, Expr(), {"i", "h", "b"}));
        pass.moments.push_back(
            moment("%m" + std::to_string(2 * n + 1), ReduceOp::Sum, n, guard, v, {"d", "i", "h", "b"}));
    }
    g.outputs = {{"out", o.element, {"d", "i", "h", "b"}, cast(o.element, result)}};
    Expr value;
    for (int n = 0; n < o.heads_per_output; n++) {
        Expr o_n = Internal::Variable::make(Float(32), "%m" + std::to_string(2 * n + 1)) /
                   Internal::Variable::make(Float(32), "%m" + std::to_string(2 * n));
        value = value.defined() ? value - o_n : o_n;
    }
    plan.outputs = {{"out", o.element, {"d", "i", "h", "b"}, cast(o.element, value)}};
    if (o.threshold) {
        g.reductions.push_back({"threshold", Float(32), {"i", "h", "b"}, {"j"}, ReduceOp::Max, Expr(), masked[0]});
        Pass first;
        first.mask = pass.mask;
        first.moments.push_back(moment("%t", ReduceOp::Max, -1, guard, exponents[0], {"i", "h", "b"}));
        first.readouts.push_back({"%threshold", {"i", "h", "b"}, Internal::Variable::make(Float(32), "%t")});
        plan.passes.push_back(first);
        plan.facts.push_back({"threshold", "barrier",
                              "its reader's body max(s - t, 0) cannot be rescaled when t changes: "
                              "max(s - t', 0) / max(s - t, 0) depends on j"});
    }
    plan.passes.push_back(pass);
    plan.facts.push_back({"row_sum", "online", "exp(s - m) = exp(s - m') * exp(m' - m), the factor is free of j"});
    plan.facts.push_back({"acc", "online", "same factor"});
    plan.facts.push_back({"out", "hoisted", "division by row_sum is free of j"});
    plan.facts.push_back({"%p0", "pivot", "running maximum, because the exponent is not bounded"});
    if (guard.defined()) {
        plan.facts.push_back({"out", "mask", pass.mask.text});
    }
    return x;
}

}  // namespace hand_made
}  // namespace strobe

#endif
