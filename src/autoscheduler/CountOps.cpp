#include "CountOps.h"

#include "schedule/Workload.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

struct CallCost {
    const char *name;
    double issue, special;
};

/** After strength reduction: exp is a multiply-add and ex2, pow is lg2 and ex2. */
const CallCost call_costs[] = {
    {"exp", 2, 1},   {"exp2", 1, 1}, {"log", 2, 1},  {"log2", 1, 1},    {"tanh", 1, 1},         {"sqrt", 2, 1},
    {"rsqrt", 1, 1}, {"sin", 3, 1},  {"cos", 3, 1},  {"pow", 4, 2},     {"fast_inverse", 1, 1}, {"abs", 1, 0},
    {"floor", 1, 0}, {"ceil", 1, 0}, {"erf", 12, 1}, {"sigmoid", 4, 2},
};

CallCost cost_of_call(const std::string &name) {
    for (const CallCost &c : call_costs) {
        // Halide appends the type: exp_f32.
        if (name == c.name || name.compare(0, name.find("_f"), c.name) == 0) {
            return c;
        }
    }
    return {"", 4, 0};
}

/** A reciprocal of a sum of exponentials and constants: the mean of its two forms on a GPU, one for two elements, or by
 * multiply-adds without the special-function unit. */
constexpr double shared_reciprocal_issue = 4.5, shared_reciprocal_special = 0.25;

/** A sum of positive constants and exponentials. */
bool is_bounded(const Expr &e) {
    const Add *add = e.as<Add>();
    const Call *call = e.as<Call>();
    return is_positive_const(e) || (add && is_bounded(add->a) && is_bounded(add->b)) ||
           (call && call->name.compare(0, 4, "exp_") == 0);
}

class Counter {
    const ReductionGraph &graph;
    const std::string &query, &stream;
    std::vector<Expr> seen;

    /** Varies over both axes: computed for each element. */
    bool is_elementwise(const Expr &e) const {
        const std::vector<std::string> axes = axes_of(graph, e);
        return std::count(axes.begin(), axes.end(), query) && std::count(axes.begin(), axes.end(), stream);
    }

    void count_operands(const Expr &e) {
        class Children : public IRMutator {
        public:
            std::vector<Expr> found;
            bool top = true;
            Expr mutate(const Expr &child) override {
                if (top) {
                    top = false;
                    return IRMutator::mutate(child);
                }
                found.push_back(child);
                return child;
            }
            using IRMutator::mutate;
        } children;
        children.mutate(e);
        for (const Expr &child : children.found) {
            count(child);
        }
    }

    /** A product under a sum is one multiply-add with it. */
    static bool has_product(const Expr &a, const Expr &b) {
        return a.as<Mul>() || b.as<Mul>();
    }

    /** Sums of axes and multiples: along a row such a value grows evenly, so each element's is the last one's
     * and a constant, in the type it is cast to. */
    static bool is_linear(const Expr &e) {
        const Add *add = e.as<Add>();
        const Sub *sub = e.as<Sub>();
        const Mul *mul = e.as<Mul>();
        return e.as<Variable>() || is_const(e) || (add && is_linear(add->a) && is_linear(add->b)) ||
               (sub && is_linear(sub->a) && is_linear(sub->b)) ||
               (mul && is_linear(mul->a) && is_linear(mul->b) && (is_const(mul->a) || is_const(mul->b)));
    }

    static bool is_position(const Expr &e) {
        const Cast *cast = e.as<Cast>();
        return cast && e.type().is_float() && cast->value.type().is_int() && is_linear(cast->value);
    }

    void add_cost(const Expr &e) {
        if (const Add *add = e.as<Add>()) {
            total.issue += has_product(add->a, add->b) ? 0 : 1;
        } else if (const Sub *sub = e.as<Sub>()) {
            total.issue += has_product(sub->a, sub->b) ? 0 : 1;
        } else if (const Div *div = e.as<Div>()) {
            // By something that is the same for the whole row: its reciprocal was taken there.
            const bool reciprocal = e.type().is_float() && is_elementwise(div->b), shared = reciprocal && is_bounded(div->b);
            total.issue += shared ? shared_reciprocal_issue : reciprocal ? 2 : 1;
            total.special += shared ? shared_reciprocal_special : reciprocal ? 1 : 0;
        } else if (const Call *call = e.as<Call>()) {
            add_call(call);
        } else if (const Cast *cast = e.as<Cast>()) {
            total.issue += cast->type.bits() < 32 ? 0.5 : 1;
        } else if (!e.as<Variable>() && !is_const(e)) {
            total.issue += 1;
        }
    }

    void add_call(const Call *call) {
        if (call->call_type == Call::Image) {
            total.issue += 2;
            total.bytes += call->type.bytes();
        } else if (call->is_intrinsic()) {
            total.issue += 1;
        } else {
            const CallCost cost = cost_of_call(call->name);
            total.issue += cost.issue;
            total.special += cost.special;
        }
    }

public:
    OpCounts total;

    /** A scale that is the same for the whole tile folds into the exponential's multiply-add, the maximum
     * being taken before it. */
    void count_exponent(const Expr &e) {
        const Mul *mul = e.as<Mul>();
        if (mul && (!is_elementwise(mul->a) || !is_elementwise(mul->b))) {
            count(is_elementwise(mul->a) ? mul->a : mul->b);
        } else {
            count(e);
        }
    }

    Counter(const ReductionGraph &graph, const Roles &roles) : graph(graph), query(roles.query), stream(roles.stream) {
    }

    /** What is left of a value without factors and summands that are the same for a whole row or column. */
    Expr without_line(Expr e) const {
        const auto other = [&](const Expr &a, const Expr &b) {
            return !is_elementwise(a) ? b : !is_elementwise(b) ? a : Expr();
        };
        for (Expr rest = e; rest.defined();) {
            e = rest;
            const Mul *mul = e.as<Mul>();
            const Add *add = e.as<Add>();
            const Sub *sub = e.as<Sub>();
            rest = mul ? other(mul->a, mul->b) : add ? other(add->a, add->b) : sub ? other(sub->a, sub->b) : Expr();
        }
        return e;
    }

    void count(const Expr &e) {
        if (!e.defined() || !is_elementwise(e) ||
            std::any_of(seen.begin(), seen.end(), [&](const Expr &s) { return graph_equal(s, e); })) {
            return;
        }
        seen.push_back(e);
        add_cost(e);
        const Call *call = e.as<Call>();
        if (call && call->name.compare(0, 4, "exp_") == 0) {
            count(without_line(call->args[0]));  // the rest is in the exponential's multiply-add
        } else if ((!call || call->call_type != Call::Image) && !is_position(e)) {
            count_operands(e);
        }
    }
};

bool has_features(const Plan &plan, const Moment &m) {
    return std::any_of(m.axes.begin(), m.axes.end(), [&](const std::string &a) {
        return a != plan.roles.query && !std::count(plan.roles.batch.begin(), plan.roles.batch.end(), a);
    });
}

}  // namespace

OpCounts &OpCounts::operator+=(const OpCounts &o) {
    issue += o.issue;
    special += o.special;
    bytes += o.bytes;
    return *this;
}

OpCounts count_ops(const ReductionGraph &graph, const Plan &plan, const Pass &pass) {
    Counter counter(graph, plan.roles);
    for (size_t i = 0; i < pass.pivots.size(); i++) {
        counter.count_exponent(pass.pivots[i].exponent);
        counter.total += {grows(graph, plan, pass, i) ? 3.0 : 2.0, 1, 0};  // max; multiply-add and ex2
    }
    std::set<int> rounded;
    for (const Moment &m : pass.moments) {
        if (m.factor.defined()) {
            counter.count(m.factor);
        }
        if (!has_features(plan, m)) {
            counter.total += {m.pivot >= 0 && m.factor.defined() ? 2.0 : 1.0, 0, 0};
        } else if (rounded.insert(m.pivot).second) {
            counter.total += {0.5, 0, 0};  // two weights are rounded and packed by one instruction
        }
    }
    return counter.total;
}

OpCounts count_mask_ops(const ReductionGraph &graph, const Plan &plan, const Pass &pass) {
    Counter counter(graph, plan.roles);
    counter.count(pass.mask.guard);
    if (pass.mask.guard.defined()) {
        counter.total += {1, 0, 0};  // the select
    }
    return counter.total;
}

}  // namespace strobe
