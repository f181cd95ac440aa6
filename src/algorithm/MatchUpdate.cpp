#include "MatchUpdate.h"

#include "MatchSelection.h"
#include "support/Error.h"

#include <optional>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class FindSelf : public IRVisitor {
    using IRVisitor::visit;
    const std::string &name;

    void visit(const Call *op) override {
        found = found || (op->call_type == Call::Halide && op->name == name);
        IRVisitor::visit(op);
    }

public:
    bool found = false;
    explicit FindSelf(const std::string &name) : name(name) {
    }
};

class Matcher {
    const Function &f;
    const int element;

    struct Match {
        bool bare = true;  // the call to f itself, no operator yet
        UpdateStep step;
    };
    using Result = std::optional<Match>;

    bool is_self(const Expr &e) const {
        const Call *call = e.as<Call>();
        return call && call->call_type == Call::Halide && call->name == f.name() && call->value_index == element;
    }

    bool uses_self(const Expr &e) const {
        FindSelf find(f.name());
        e.accept(&find);
        return find.found;
    }

    Result with(const Result &inner, ReduceOp op, const Expr &body) const {
        if (!inner || (!inner->bare && inner->step.op != op)) {
            return std::nullopt;
        }
        return Match{false, {op, inner->bare ? body : combine(op, inner->step.body, body)}};
    }

    Result match_binary(ReduceOp op, const Expr &a, const Expr &b) const {
        const bool in_a = uses_self(a), in_b = uses_self(b);
        if (in_a == in_b) {
            return std::nullopt;
        }
        return in_a ? with(match(a), op, b) : with(match(b), op, a);
    }

    /** select(a < b, t, e), where {a, b} and {t, e} are both {f, x}. */
    Result match_compare(const Expr &a, const Expr &b, const Expr &t, const Expr &e) const {
        const Expr &x = is_self(a) ? b : a;
        const bool pair = (is_self(a) != is_self(b)) && !uses_self(x);
        const bool takes_less = pair && equal(t, a) && equal(e, b);
        const bool takes_greater = pair && equal(t, b) && equal(e, a);
        if (takes_less == takes_greater) {
            return std::nullopt;
        }
        return Match{false, {takes_less ? ReduceOp::Min : ReduceOp::Max, x}};
    }

    Result match_select(const Select *op) const {
        if (const LT *c = op->condition.as<LT>(); c && uses_self(op->condition)) {
            return match_compare(c->a, c->b, op->true_value, op->false_value);
        }
        if (const LE *c = op->condition.as<LE>(); c && uses_self(op->condition)) {
            return match_compare(c->a, c->b, op->true_value, op->false_value);
        }
        if (const GT *c = op->condition.as<GT>(); c && uses_self(op->condition)) {
            return match_compare(c->b, c->a, op->true_value, op->false_value);
        }
        if (const GE *c = op->condition.as<GE>(); c && uses_self(op->condition)) {
            return match_compare(c->b, c->a, op->true_value, op->false_value);
        }
        const bool keeps_if_true = is_self(op->true_value);
        if (uses_self(op->condition) || keeps_if_true == is_self(op->false_value)) {
            return std::nullopt;
        }
        Result inner = match(keeps_if_true ? op->false_value : op->true_value);
        if (!inner || inner->bare) {
            return std::nullopt;
        }
        Expr &body = inner->step.body;
        const Expr none = identity_of(inner->step.op, body.type());
        body = keeps_if_true ? select(op->condition, none, body) : select(op->condition, body, none);
        return inner;
    }

    Result match(const Expr &e) const {
        if (is_self(e)) {
            return Match{};
        }
        if (const Add *op = e.as<Add>()) {
            return match_binary(ReduceOp::Sum, op->a, op->b);
        }
        if (const Sub *op = e.as<Sub>()) {
            return uses_self(op->b) ? std::nullopt : with(match(op->a), ReduceOp::Sum, -op->b);
        }
        if (const Mul *op = e.as<Mul>()) {
            return match_binary(ReduceOp::Product, op->a, op->b);
        }
        if (const Max *op = e.as<Max>()) {
            return match_binary(ReduceOp::Max, op->a, op->b);
        }
        if (const Min *op = e.as<Min>()) {
            return match_binary(ReduceOp::Min, op->a, op->b);
        }
        if (const And *op = e.as<And>()) {
            return match_binary(ReduceOp::And, op->a, op->b);
        }
        if (const Or *op = e.as<Or>()) {
            return match_binary(ReduceOp::Or, op->a, op->b);
        }
        if (const Select *op = e.as<Select>()) {
            return match_select(op);
        }
        if (const Cast *op = e.as<Cast>(); op && op->type == op->value.type()) {
            return match(op->value);
        }
        return std::nullopt;
    }

public:
    Matcher(const Function &f, int element) : f(f), element(element) {
    }

    UpdateStep match() const {
        const Expr value = substitute_in_all_lets(f.update(0).values()[element]);
        const Result result = match(value);
        if (!result || result->bare || uses_self(result->step.body)) {
            if (const std::optional<UpdateStep> selection = match_selection(f, element)) {
                return *selection;
            }
            strobe_user_error() << "Func " << f.name() << ": its update definition " << value
                                << " is not a reduction: it must be " << f.name()
                                << " (op) body, with one of +, *, max, min, && or ||, and a body that does not use "
                                << f.name()
                                << ". Elements of a Tuple may also be moved by comparisons with one key, as argmax and "
                                   "a sorted list of the greatest keys do: with > (or <), so that of equal keys the "
                                   "first is kept, and the best key in the first element.";
        }
        return result->step;
    }
};

}  // namespace

UpdateStep match_update(const Function &f, int element) {
    return Matcher(f, element).match();
}

}  // namespace strobe
