#ifndef STROBE_TESTS_DERIVATION_EVALUATE_H
#define STROBE_TESTS_DERIVATION_EVALUATE_H

/** \file
 * Evaluates Exprs, reduction graphs and plans in double: the reference of the
 * algebra's tests. A graph is evaluated as it stands, reduction by reduction; a
 * plan from partial states of random segments of the stream, merged in random order. */

#include "derivation/Plan.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>

namespace strobe::test {

using Point = std::map<std::string, double>;  // Variables

/** Elements of inputs and values of scalars. */
struct Data {
    std::map<std::string, std::function<double(const std::vector<int> &)>> inputs;
    Point scalars;  // also extents, "q.extent.1"
};

class EvaluateExpr : public Halide::Internal::IRVisitor {
    using IRVisitor::visit;
    using Expr = Halide::Expr;
    const Data &data;
    const std::function<double(const std::string &)> &variable;
    double result = 0;

    double of(const Expr &e) {
        e.accept(this);
        return result;
    }
    template<typename Op>
    void binary(const Op *op, double (*f)(double, double)) {
        const double a = of(op->a), b = of(op->b);
        result = f(a, b);
    }
#define STROBE_BINARY(NODE, FORMULA)                                      \
    void visit(const Halide::Internal::NODE *op) override {               \
        binary(op, [](double a, double b) -> double { return FORMULA; }); \
    }
    STROBE_BINARY(Add, a + b)
    STROBE_BINARY(Sub, a - b)
    STROBE_BINARY(Mul, a *b)
    STROBE_BINARY(Mod, a - b * std::floor(a / b))
    STROBE_BINARY(Min, a < b ? a : b)
    STROBE_BINARY(Max, a > b ? a : b)
    STROBE_BINARY(EQ, a == b)
    STROBE_BINARY(NE, a != b)
    STROBE_BINARY(LT, a < b)
    STROBE_BINARY(LE, a <= b)
    STROBE_BINARY(GT, a > b)
    STROBE_BINARY(GE, a >= b)
    STROBE_BINARY(And, a != 0 && b != 0)
    STROBE_BINARY(Or, a != 0 || b != 0)
#undef STROBE_BINARY

    void visit(const Halide::Internal::Div *op) override {
        const double a = of(op->a), b = of(op->b);
        result = op->type.is_float() ? a / b : std::floor(a / b);
    }
    void visit(const Halide::Internal::Not *op) override {
        result = of(op->a) == 0;
    }
    void visit(const Halide::Internal::IntImm *op) override {
        result = double(op->value);
    }
    void visit(const Halide::Internal::UIntImm *op) override {
        result = double(op->value);
    }
    void visit(const Halide::Internal::FloatImm *op) override {
        result = op->value;
    }
    void visit(const Halide::Internal::Cast *op) override {
        const double value = of(op->value);
        result = op->type.is_bool() ? value != 0 : op->type.is_float() ? value : std::trunc(value);
    }
    void visit(const Halide::Internal::Select *op) override {
        const bool condition = of(op->condition) != 0;
        of(condition ? op->true_value : op->false_value);
    }
    void visit(const Halide::Internal::Variable *op) override {
        result = variable(op->name);
    }
    void visit(const Halide::Internal::Call *op) override {
        if (op->call_type == Halide::Internal::Call::Image) {
            std::vector<int> args;
            for (const Expr &arg : op->args) {
                args.push_back(int(of(arg)));
            }
            result = data.inputs.at(op->name)(args);
            return;
        }
        const double x = of(op->args[0]);
        const std::string name = op->name.substr(0, op->name.find("_f"));
        if (name == "pow") {
            result = std::pow(x, of(op->args[1]));
            return;
        }
        static const std::map<std::string, double (*)(double)> functions = {
            {"exp", std::exp}, {"log", std::log}, {"tanh", std::tanh}, {"sqrt", std::sqrt},
            {"abs", std::fabs}, {"floor", std::floor}};
        auto it = functions.find(name);
        if (it == functions.end()) {
            throw std::runtime_error("no value for " + op->name);
        }
        result = it->second(x);
    }

public:
    EvaluateExpr(const Data &data, const std::function<double(const std::string &)> &variable)
        : data(data), variable(variable) {
    }
    double evaluate(const Expr &e) {
        return of(e);
    }
};

inline double evaluate(const Data &data, const Halide::Expr &e,
                       const std::function<double(const std::string &)> &variable) {
    return EvaluateExpr(data, variable).evaluate(e);
}

inline double combined(ReduceOp op, double a, double b) {
    switch (op) {
    case ReduceOp::Sum:
        return a + b;
    case ReduceOp::Product:
        return a * b;
    case ReduceOp::Max:
        return std::max(a, b);
    case ReduceOp::Min:
        return std::min(a, b);
    case ReduceOp::And:
        return a != 0 && b != 0;
    case ReduceOp::Or:
        return a != 0 || b != 0;
    }
    return NAN;
}

inline double neutral(ReduceOp op) {
    switch (op) {
    case ReduceOp::Sum:
    case ReduceOp::Or:
        return 0;
    case ReduceOp::Product:
    case ReduceOp::And:
        return 1;
    case ReduceOp::Max:
        return -INFINITY;
    case ReduceOp::Min:
        return INFINITY;
    }
    return NAN;
}

class EvaluateGraph {
    const ReductionGraph &graph;
    const Data &data;
    std::map<std::pair<std::string, std::vector<double>>, double> memo;

public:
    EvaluateGraph(const ReductionGraph &graph, const Data &data) : graph(graph), data(data) {
    }

    double value(const Halide::Expr &e, const Point &point) {
        return evaluate(data, e, [&](const std::string &name) -> double {
            auto it = point.find(name);
            if (it != point.end()) {
                return it->second;
            }
            if (name[0] == '%') {
                return reduction(graph.reduction(name.substr(1)), point);
            }
            return data.scalars.at(name);
        });
    }

    double reduction(const Reduction &r, const Point &at) {
        Point point;
        std::vector<double> key;
        for (const std::string &axis : r.axes) {
            point[axis] = at.at(axis);
            key.push_back(at.at(axis));
        }
        auto known = memo.find({r.name, key});
        if (known != memo.end()) {
            return known->second;
        }
        double result = r.init.defined() ? value(r.init, point) : neutral(r.op);
        std::vector<std::pair<double, double>> candidates;  // key and value, of a selection
        std::function<void(size_t)> walk = [&](size_t n) {
            if (n == r.over.size()) {
                if (const auto of = as_chosen(r.body)) {
                    candidates.emplace_back(value(of->key, point), value(of->value, point));
                } else {
                    result = combined(r.op, result, value(r.body, point));
                }
                return;
            }
            const Axis &axis = graph.axis(r.over[n]);
            const double min = value(axis.min, {}), extent = value(axis.extent, {});
            for (double x = min; x < min + extent; x++) {
                point[axis.name] = x;
                walk(n + 1);
            }
        };
        walk(0);
        if (r.rank >= 0) {
            std::stable_sort(candidates.begin(), candidates.end(), [&](const auto &a, const auto &b) {
                return r.op == ReduceOp::Max ? a.first > b.first : a.first < b.first;
            });
            if (size_t(r.rank) < candidates.size() && candidates[r.rank].first != neutral(r.op)) {
                result = candidates[r.rank].second;
            }
        }
        return memo[{r.name, key}] = result;
    }

    /** Calls f with every point of these axes. */
    void for_each_point(const std::vector<std::string> &axes, const std::function<void(const Point &)> &f) {
        Point point;
        std::function<void(size_t)> walk = [&](size_t n) {
            if (n == axes.size()) {
                f(point);
                return;
            }
            const Axis &axis = graph.axis(axes[n]);
            const double min = value(axis.min, {}), extent = value(axis.extent, {});
            for (double x = min; x < min + extent; x++) {
                point[axes[n]] = x;
                walk(n + 1);
            }
        };
        walk(0);
    }
};

class EvaluatePlan {
    const ReductionGraph &graph;
    const Plan &plan;
    const Data &data;
    std::mt19937 &random;

    /** An element that a selection keeps, with the values of the moments. */
    struct Kept {
        double key, position;
        std::vector<double> moments;
    };
    struct State {
        std::vector<double> pivots, moments;
        std::vector<std::vector<Kept>> selections;
    };

    double value(const Halide::Expr &e, const Point &point) {
        return evaluate(data, e, [&](const std::string &name) -> double {
            auto it = point.find(name);
            if (it != point.end()) {
                return it->second;
            }
            if (name[0] == '%') {
                return inner(graph.reduction(name.substr(1)), point);
            }
            return data.scalars.at(name);
        });
    }

    /** A reduction that the plan evaluates inside a tile. */
    double inner(const Reduction &r, Point point) {
        if (std::find(plan.inner.begin(), plan.inner.end(), r.name) == plan.inner.end()) {
            throw std::runtime_error("the plan uses " + r.name + " without computing it");
        }
        double result = r.init.defined() ? value(r.init, point) : neutral(r.op);
        std::function<void(size_t)> walk = [&](size_t n) {
            if (n == r.over.size()) {
                result = combined(r.op, result, value(r.body, point));
                return;
            }
            const Axis &axis = graph.axis(r.over[n]);
            const double min = value(axis.min, {}), extent = value(axis.extent, {});
            for (double x = min; x < min + extent; x++) {
                point[axis.name] = x;
                walk(n + 1);
            }
        };
        walk(0);
        return result;
    }

    State empty(const Pass &pass, const Point &point) {
        State s;
        for (const Pivot &p : pass.pivots) {
            s.pivots.push_back(p.policy == Pivot::Policy::Constant ? value(p.constant, point)
                                                                          : std::numeric_limits<double>::lowest());
        }
        for (const Moment &m : pass.moments) {
            s.moments.push_back(m.selection >= 0 ? 0 : neutral(m.op));
        }
        s.selections.resize(pass.selections.size());
        return s;
    }

    /** Both lists as one, in the total order of keys and positions. */
    static std::vector<Kept> merged(const Selection &selection, std::vector<Kept> a, const std::vector<Kept> &b) {
        a.insert(a.end(), b.begin(), b.end());
        std::sort(a.begin(), a.end(), [&](const Kept &x, const Kept &y) {
            return x.key != y.key ? (x.key > y.key) == selection.greatest : x.position < y.position;
        });
        a.resize(std::min(a.size(), size_t(selection.count)));
        return a;
    }

    State merged(const Pass &pass, const State &a, const State &b) {
        State s = a;
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            s.pivots[i] = std::max(a.pivots[i], b.pivots[i]);
        }
        for (size_t i = 0; i < pass.moments.size(); i++) {
            const Moment &m = pass.moments[i];
            double x = a.moments[i], y = b.moments[i];
            if (m.selection >= 0 || m.around.value.defined()) {
                continue;  // below, when all that its mean is made of has moved
            }
            if (m.degree > 0) {
                const size_t lower = std::find_if(pass.moments.begin(), pass.moments.end(), [&](const Moment &o) {
                    return o.degree == 0 && o.pivot == m.pivot && Halide::Internal::graph_equal(o.guard, m.guard) &&
                           Halide::Internal::graph_equal(o.factor, m.factor);
                }) - pass.moments.begin();
                x += std::max(a.pivots[m.pivot] - s.pivots[m.pivot], -1e30) * a.moments[lower];
                y += std::max(b.pivots[m.pivot] - s.pivots[m.pivot], -1e30) * b.moments[lower];
            }
            if (m.pivot >= 0) {
                x *= std::exp(a.pivots[m.pivot] - s.pivots[m.pivot]);
                y *= std::exp(b.pivots[m.pivot] - s.pivots[m.pivot]);
            }
            s.moments[i] = combined(m.op, x, y);
        }
        for (size_t i = 0; i < pass.selections.size(); i++) {
            s.selections[i] = merged(pass.selections[i], a.selections[i], b.selections[i]);
        }
        for (size_t i = 0; i < pass.moments.size(); i++) {
            if (pass.moments[i].around.value.defined()) {
                s.moments[i] = moved(pass, a, s, i) + moved(pass, b, s, i);
            }
        }
        return s;
    }

    static size_t index_of(const Pass &pass, const std::string &name) {
        return std::find_if(pass.moments.begin(), pass.moments.end(), [&](const Moment &o) { return o.name == name; }) -
               pass.moments.begin();
    }

    static double mean(const Pass &pass, const Around &around, const State &s) {
        const double weight = s.moments.at(index_of(pass, around.weight));
        return weight != 0 ? s.moments.at(index_of(pass, around.weighted)) / weight : 0;
    }

    /** A moment around a mean, of the part \p s of the state \p all. */
    static double moved(const Pass &pass, const State &s, const State &all, size_t i) {
        const Moment &m = pass.moments[i];
        const double apart = mean(pass, m.around, s) - mean(pass, m.around, all);
        const double weight = s.moments.at(index_of(pass, m.around.weight));
        const double factor = m.pivot >= 0 ? std::exp(s.pivots[m.pivot] - all.pivots[m.pivot]) : 1;
        if (m.degree == 1) {
            return (s.moments[i] + apart * weight) * factor;
        }
        const double first = s.moments.at(index_of(pass, m.around.first));
        return (s.moments[i] + 2 * apart * first + apart * apart * weight) * factor;
    }

    /** The state of a single element. */
    State element(const Pass &pass, const Point &point) {
        State s = empty(pass, point);
        std::vector<double> exponents;
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            const Pivot &p = pass.pivots[i];
            const bool live = !p.guard.defined() || value(p.guard, point) != 0;
            exponents.push_back(live ? value(p.exponent, point) : -INFINITY);
            if (p.policy == Pivot::Policy::RunningMax) {
                s.pivots[i] = std::max(s.pivots[i], exponents[i]);
            }
        }
        for (size_t i = 0; i < pass.moments.size(); i++) {
            const Moment &m = pass.moments[i];
            const bool elsewhere =
                std::any_of(m.axes.begin(), m.axes.end(), [&](const std::string &axis) { return !point.count(axis); });
            if (elsewhere || (m.guard.defined() && value(m.guard, point) == 0)) {
                continue;  // a moment with a feature axis that this output lacks, or a masked element
            }
            if (m.around.value.defined()) {
                continue;  // one element is its own mean
            }
            if (m.selection >= 0) {
                continue;
            }
            s.moments[i] = m.factor.defined() ? value(m.factor, point) : 1;
            if (m.pivot >= 0) {
                s.moments[i] *= std::exp(exponents[m.pivot] - s.pivots[m.pivot]);
                s.moments[i] *= m.degree > 0 ? exponents[m.pivot] - s.pivots[m.pivot] : 1;
            }
        }
        for (size_t n = 0; n < pass.selections.size(); n++) {
            const Selection &selection = pass.selections[n];
            const bool live = !selection.guard.defined() || value(selection.guard, point) != 0;
            const double key = live ? value(selection.key, point) : 0;
            if (!live || key == neutral(selection.greatest ? ReduceOp::Max : ReduceOp::Min)) {
                continue;
            }
            Kept kept{key, point.at(plan.roles.stream), std::vector<double>(pass.moments.size())};
            for (size_t i = 0; i < pass.moments.size(); i++) {
                const Moment &m = pass.moments[i];
                const bool here = std::all_of(m.axes.begin(), m.axes.end(),
                                              [&](const std::string &axis) { return point.count(axis) > 0; });
                if (m.selection == int(n) && here) {
                    kept.moments[i] = value(m.factor, point);
                }
            }
            s.selections[n] = {kept};
        }
        return s;
    }

    /** What a moment of a selection is in the end. */
    static double kept(const Pass &pass, const State &s, size_t i) {
        const Moment &m = pass.moments[i];
        const Selection &selection = pass.selections[m.selection];
        if (size_t(m.rank) < s.selections[m.selection].size()) {
            return s.selections[m.selection][m.rank].moments[i];
        }
        const bool is_key = Halide::Internal::graph_equal(m.factor, selection.key);
        return is_key ? neutral(selection.greatest ? ReduceOp::Max : ReduceOp::Min) : 0;
    }

    /** The state after the whole stream, from segments merged in random order. */
    State walk(const Pass &pass, Point point) {
        const Axis &stream = graph.axis(plan.roles.stream);
        const int min = int(value(stream.min, {})), extent = int(value(stream.extent, {}));
        std::vector<State> segments = {empty(pass, point)};
        for (int x = min; x < min + extent; x++) {
            for (unsigned empty_ones = random() % 6; empty_ones > 3; empty_ones--) {
                segments.push_back(empty(pass, point));
            }
            point[stream.name] = x;
            segments.back() = merged(pass, segments.back(), element(pass, point));
        }
        while (segments.size() > 1) {
            std::shuffle(segments.begin(), segments.end(), random);
            const State last = segments.back();
            segments.pop_back();
            segments.back() = merged(pass, segments.back(), last);
        }
        return segments[0];
    }

public:
    EvaluatePlan(const ReductionGraph &graph, const Plan &plan, const Data &data, std::mt19937 &random)
        : graph(graph), plan(plan), data(data), random(random) {
    }

    double value(const Output &output, Point point) {
        for (const Pass &pass : plan.passes) {
            const State s = walk(pass, point);
            for (size_t i = 0; i < pass.pivots.size(); i++) {
                point[pass.pivots[i].name] = s.pivots[i];
            }
            for (size_t i = 0; i < pass.moments.size(); i++) {
                point[pass.moments[i].name] = pass.moments[i].selection >= 0 ? kept(pass, s, i) : s.moments[i];
            }
            for (const Readout &r : pass.readouts) {
                const bool elsewhere = std::any_of(r.axes.begin(), r.axes.end(),
                                                   [&](const std::string &axis) { return !point.count(axis); });
                if (elsewhere) {
                    continue;
                }
                point[r.name] = value(r.value, point);
            }
        }
        return finished(output.value, point);
    }

private:
    /** A value after the last pass: reductions of finished results walk the stream again for each element. */
    double finished(const Halide::Expr &e, Point point) {
        for (const Reduction &r : plan.after) {
            if (!Halide::Internal::expr_uses_var(e, "%" + r.name)) {
                continue;
            }
            Output element;
            element.value = r.body;
            double result = r.init.defined() ? finished(r.init, point) : neutral(r.op);
            const Axis &axis = graph.axis(r.over.at(0));
            const double min = value(axis.min, Point()), extent = value(axis.extent, Point());
            for (double x = min; x < min + extent; x++) {
                Point at = point;
                at[axis.name] = x;
                result = combined(r.op, result, value(element, at));
            }
            point["%" + r.name] = result;
        }
        return value(e, point);
    }
};

}  // namespace strobe::test

#endif
