#include "MergeAxes.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

Expr axis(const std::string &name) {
    return Variable::make(Int(32), name);
}

std::vector<std::string> renamed(std::vector<std::string> names, const std::string &from, const std::string &to) {
    std::replace(names.begin(), names.end(), from, to);
    return names;
}

Expr renamed(const Expr &e, const std::string &from, const std::string &to) {
    return e.defined() ? substitute(from, axis(to), e) : e;
}

class Merger {
    ReductionGraph &graph;

    bool same_domain(const std::string &a, const std::string &b) const {
        const Axis &x = graph.axis(a), &y = graph.axis(b);
        return is_const_zero(simplify(x.min - y.min)) && is_const_zero(simplify(x.extent - y.extent));
    }

    /** \p x with axis \p from called \p to is \p y. */
    bool alike(const Reduction &x, const Reduction &y, const std::string &from, const std::string &to) const {
        return x.op == y.op && x.rank == y.rank && x.type == y.type && x.over == y.over && renamed(x.axes, from, to) == y.axes &&
               graph_equal(renamed(x.body, from, to), y.body) && graph_equal(renamed(x.init, from, to), y.init);
    }

    /** A running sum walks it for each element of another axis with the same domain: nothing else should. */
    bool is_nested(const std::string &axis) const {
        return std::any_of(graph.reductions.begin(), graph.reductions.end(), [&](const Reduction &r) {
            return contains(r.over, axis) && std::any_of(r.axes.begin(), r.axes.end(), [&](const std::string &a) {
                       return same_domain(a, axis);
                   });
        });
    }

    /** For an axis that r reduces: another reduction that has what r reads, along another axis. */
    bool merge(Reduction &r, const std::string &from) {
        for (const Reduction &x : graph.reductions) {
            if (!contains(x.axes, from) || !expr_uses_var(r.body, "%" + x.name)) {
                continue;
            }
            for (const Reduction &y : graph.reductions) {
                for (const std::string &to : y.axes) {
                    if (y.name != x.name && to != from && !is_nested(to) && !contains(r.axes, to) && !contains(r.over, to) &&
                        same_domain(from, to) && alike(x, y, from, to)) {
                        // All that r reads along the axis must exist along the other.
                        const Expr body = along_axis(graph, r.body, from, to);
                        if (!body.defined()) {
                            continue;
                        }
                        r.body = body;
                        r.init = renamed(r.init, from, to);
                        r.over = renamed(r.over, from, to);
                        return true;
                    }
                }
            }
        }
        return false;
    }

    /** Reductions and axes that nothing uses any more. */
    void drop_unused() {
        const auto used = [&](const Reduction &r) {
            const auto uses = [&](const Expr &e) { return e.defined() && expr_uses_var(e, "%" + r.name); };
            return std::any_of(graph.reductions.begin(), graph.reductions.end(),
                               [&](const Reduction &other) { return uses(other.body) || uses(other.init); }) ||
                   std::any_of(graph.outputs.begin(), graph.outputs.end(),
                               [&](const Output &o) { return uses(o.value); });
        };
        for (size_t n = graph.reductions.size(); n-- > 0;) {
            if (!used(graph.reductions[n])) {
                graph.reductions.erase(graph.reductions.begin() + n);
            }
        }
        const auto idle = [&](const Axis &a) {
            return std::none_of(graph.reductions.begin(), graph.reductions.end(),
                                [&](const Reduction &r) { return contains(r.axes, a.name) || contains(r.over, a.name); }) &&
                   std::none_of(graph.outputs.begin(), graph.outputs.end(),
                                [&](const Output &o) { return contains(o.axes, a.name); });
        };
        graph.axes.erase(std::remove_if(graph.axes.begin(), graph.axes.end(), idle), graph.axes.end());
    }

    /** Each reduction behind those that its body uses. */
    void sort() {
        std::vector<Reduction> sorted;
        while (!graph.reductions.empty()) {
            const auto ready = std::find_if(graph.reductions.begin(), graph.reductions.end(), [&](const Reduction &r) {
                return std::none_of(graph.reductions.begin(), graph.reductions.end(), [&](const Reduction &other) {
                    return expr_uses_var(r.body, "%" + other.name) ||
                           (r.init.defined() && expr_uses_var(r.init, "%" + other.name));
                });
            });
            sorted.push_back(*ready);
            graph.reductions.erase(ready);
        }
        graph.reductions = sorted;
    }

public:
    explicit Merger(ReductionGraph &graph) : graph(graph) {
    }
    void run() {
        bool changed = false;
        for (Reduction &r : graph.reductions) {
            for (const std::string &from : std::vector<std::string>(r.over)) {
                changed = merge(r, from) || changed;
            }
        }
        if (changed) {
            drop_unused();
            sort();
        }
    }
};

class AlongAxis : public IRMutator {
    using IRMutator::visit;
    const ReductionGraph &graph;
    const std::string &from, &to;

    Expr visit(const Variable *op) override {
        if (op->name == from) {
            return axis(to);
        }
        const Reduction *r = graph.referred(op);
        if (!r || !contains(r->axes, from)) {
            return op;
        }
        const Expr body = mutate(r->body);
        for (const Reduction &other : graph.reductions) {
            if (other.op == r->op && other.rank == r->rank && other.type == r->type && other.axes == renamed(r->axes, from, to) &&
                other.over == r->over && graph_equal(other.body, body) && !r->init.defined() && !other.init.defined()) {
                return other.ref();
            }
        }
        failed = true;
        return op;
    }

public:
    bool failed = false;
    AlongAxis(const ReductionGraph &graph, const std::string &from, const std::string &to)
        : graph(graph), from(from), to(to) {
    }
};

}  // namespace

Expr along_axis(const ReductionGraph &graph, const Expr &e, const std::string &from, const std::string &to) {
    AlongAxis rename(graph, from, to);
    const Expr result = rename.mutate(e);
    return rename.failed ? Expr() : result;
}

void merge_axes(ReductionGraph &graph) {
    Merger(graph).run();
}

}  // namespace strobe
