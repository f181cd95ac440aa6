#include "SplitSuffixes.h"

#include "MergeAxes.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool is_axis(const Expr &e, const std::string &name) {
    const Variable *v = e.as<Variable>();
    return v && v->name == name;
}

std::vector<Expr> conjuncts_of(const Expr &c) {
    if (const And *op = c.as<And>()) {
        std::vector<Expr> all = conjuncts_of(op->a);
        const std::vector<Expr> more = conjuncts_of(op->b);
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    return {c};
}

class Splitter {
    ReductionGraph &graph;

    /** c is k > j or k >= j: its opposite, k <= j or k < j. */
    static Expr opposite(const Expr &c, const std::string &k, const std::string &j) {
        const LE *le = c.as<LE>();
        const LT *lt = c.as<LT>();
        const GE *ge = c.as<GE>();
        const GT *gt = c.as<GT>();
        const Expr a = Variable::make(Int(32), k), b = Variable::make(Int(32), j);
        if ((gt && is_axis(gt->a, k) && is_axis(gt->b, j)) || (lt && is_axis(lt->a, j) && is_axis(lt->b, k))) {
            return a <= b;
        }
        if ((ge && is_axis(ge->a, k) && is_axis(ge->b, j)) || (le && is_axis(le->a, j) && is_axis(le->b, k))) {
            return a < b;
        }
        return Expr();
    }

    /** The axis of r that another reduction walks over the same domain as r walks k. */
    std::vector<std::string> walked_like(const Reduction &r) const {
        std::vector<std::string> result;
        const Axis &k = graph.axis(r.over[0]);
        for (const std::string &j : r.axes) {
            const Axis &a = graph.axis(j);
            const bool walked = std::any_of(graph.reductions.begin(), graph.reductions.end(), [&](const Reduction &o) {
                return std::count(o.over.begin(), o.over.end(), j) > 0;
            });
            if (walked && is_const_zero(simplify(a.min - k.min)) && is_const_zero(simplify(a.extent - k.extent))) {
                result.push_back(j);
            }
        }
        return result;
    }

    /** The total that goes with r, and r turned round; false if r is no suffix sum along j. */
    bool split(Reduction &r, const std::string &j, Reduction &total) const {
        const Select *op = r.body.as<Select>();
        if (!op || !is_const_zero(simplify(op->false_value))) {
            return false;
        }
        Expr turned, rest;
        for (const Expr &c : conjuncts_of(op->condition)) {
            const Expr o = turned.defined() ? Expr() : opposite(c, r.over[0], j);
            if (o.defined()) {
                turned = o;
            } else {
                rest = rest.defined() ? rest && c : c;
            }
        }
        const Expr zero = make_zero(r.type);
        const Expr value = rest.defined() ? select(rest, op->true_value, zero) : op->true_value;
        if (!turned.defined() || expr_uses_var(value, j)) {
            return false;
        }
        total = r;
        total.name = r.name + "_total";
        total.over = {j};
        total.axes.erase(std::find(total.axes.begin(), total.axes.end(), j));
        total.body = along_axis(graph, value, r.over[0], j);
        r.body = select(rest.defined() ? turned && rest : turned, op->true_value, zero);
        return total.body.defined();
    }

public:
    explicit Splitter(ReductionGraph &graph) : graph(graph) {
    }
    void run() {
        for (size_t n = 0; n < graph.reductions.size(); n++) {
            Reduction r = graph.reductions[n], total;
            if (r.op != ReduceOp::Sum || r.over.size() != 1 || !r.type.is_float() || r.init.defined()) {
                continue;
            }
            for (const std::string &j : walked_like(r)) {
                if (!split(r, j, total)) {
                    continue;
                }
                const Expr suffix = total.ref() - r.ref();
                for (size_t m = n + 1; m < graph.reductions.size(); m++) {
                    graph.reductions[m].body = substitute("%" + r.name, suffix, graph.reductions[m].body);
                }
                for (Output &o : graph.outputs) {
                    o.value = substitute("%" + r.name, suffix, o.value);
                }
                graph.reductions[n] = r;
                graph.reductions.insert(graph.reductions.begin() + n, total);
                n++;
                break;
            }
        }
    }
};

}  // namespace

void split_suffixes(ReductionGraph &graph) {
    Splitter(graph).run();
}

}  // namespace strobe
