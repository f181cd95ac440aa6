#include "EvaluateExpr.h"

#include "support/Error.h"

#include <cmath>
#include <map>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

Lanes::Lanes(Type type, size_t points) : type(type) {
    if (type.is_float()) {
        f.resize(points);
    } else {
        i.resize(points);
    }
}

double rounded_to(Type type, double x) {
    if (type.is_bfloat()) {
        return (double)(float)bfloat16_t(x);
    } else if (type.bits() == 16) {
        return (double)(float)float16_t(x);
    }
    return type.bits() == 32 ? (double)(float)x : x;
}

namespace {

int64_t wrapped_to(Type type, int64_t x) {
    const int shift = 64 - type.bits();
    if (shift == 0) {
        return x;
    }
    const uint64_t high = (uint64_t)x << shift;
    return type.is_int() ? (int64_t)high >> shift : (int64_t)(high >> shift);
}

int64_t truncated(double x) {
    if (!(std::abs(x) < 9.2e18)) {
        return 0;  // undefined in the source as well
    }
    return (int64_t)x;
}

/** Halide's remainder is never negative. */
int64_t euclidean_mod(int64_t a, int64_t b) {
    if (b == 0) {
        return 0;
    }
    const int64_t r = a % b;
    return r < 0 ? r + std::abs(b) : r;
}

int64_t euclidean_div(int64_t a, int64_t b) {
    return b == 0 ? 0 : (a - euclidean_mod(a, b)) / b;
}

using Unary = double (*)(double);
using Binary = double (*)(double, double);

const std::map<std::string, Unary> unary_functions = {
    {"exp", std::exp},
    {"log", std::log},
    {"sqrt", std::sqrt},
    {"tanh", std::tanh},
    {"sin", std::sin},
    {"cos", std::cos},
    {"tan", std::tan},
    {"asin", std::asin},
    {"acos", std::acos},
    {"atan", std::atan},
    {"sinh", std::sinh},
    {"cosh", std::cosh},
    {"asinh", std::asinh},
    {"acosh", std::acosh},
    {"atanh", std::atanh},
    {"floor", std::floor},
    {"ceil", std::ceil},
    {"trunc", std::trunc},
    {"exp2", std::exp2},
    {"log2", std::log2},
    {"round", std::nearbyint},
    {"erf", std::erf},
    {"fast_inverse", [](double x) { return 1 / x; }},
    {"fast_inverse_sqrt", [](double x) { return 1 / std::sqrt(x); }},
};

const std::map<std::string, Binary> binary_functions = {
    {"pow", std::pow},
    {"atan2", std::atan2},
    {"fmod", std::fmod},
};

/** "exp_f32" -> "exp". */
std::string function_name(const std::string &name) {
    for (const char *suffix : {"_f16", "_f32", "_f64"}) {
        const size_t at = name.rfind(suffix);
        if (at != std::string::npos && at + 4 == name.size()) {
            return name.substr(0, at);
        }
    }
    return name;
}

class Evaluator : public IRVisitor {
    using IRVisitor::visit;
    const Meaning &meaning;
    const size_t n;
    std::map<const IRNode *, Lanes> known;
    std::map<std::string, Lanes> lets;
    Lanes result;

    Lanes make(Type t) const {
        return Lanes(t, n);
    }

    double store(Type t, double x) const {
        return meaning.arithmetic == Arithmetic::Exact ? x : rounded_to(t, x);
    }

    template<typename Op, typename F, typename I>
    void arithmetic(const Op *op, F on_float, I on_int) {
        const Lanes a = evaluate(op->a), b = evaluate(op->b);
        Lanes r = make(op->type);
        if (op->type.is_float()) {
            for (size_t p = 0; p < n; p++) {
                r.f[p] = store(op->type, on_float(a.f[p], b.f[p]));
            }
        } else {
            for (size_t p = 0; p < n; p++) {
                r.i[p] = wrapped_to(op->type, on_int(a.i[p], b.i[p]));
            }
        }
        result = r;
    }

    template<typename Op, typename C>
    void comparison(const Op *op, C compare) {
        const Lanes a = evaluate(op->a), b = evaluate(op->b);
        Lanes r = make(Bool());
        for (size_t p = 0; p < n; p++) {
            r.i[p] = a.type.is_float() ? compare(a.f[p], b.f[p]) : compare(a.i[p], b.i[p]);
        }
        result = r;
    }

    void visit(const IntImm *op) override {
        result = make(op->type);
        result.i.assign(n, op->value);
    }
    void visit(const UIntImm *op) override {
        result = make(op->type);
        result.i.assign(n, (int64_t)op->value);
    }
    void visit(const FloatImm *op) override {
        result = make(op->type);
        result.f.assign(n, op->value);
    }
    void visit(const Cast *op) override {
        result = converted_to(op->type, evaluate(op->value), meaning.arithmetic);
    }
    void visit(const Variable *op) override {
        auto let = lets.find(op->name);
        if (let != lets.end()) {
            result = let->second;
            return;
        }
        Lanes r = make(op->type);
        if (!meaning.variable || !meaning.variable(*op, r)) {
            strobe_internal_error() << "no value is known for " << op->name;
        }
        result = r;
    }
    // clang-format off
    void visit(const Add *op) override {
        arithmetic(op, [](double a, double b) { return a + b; },
                   [](int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); });
    }
    void visit(const Sub *op) override {
        arithmetic(op, [](double a, double b) { return a - b; },
                   [](int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); });
    }
    void visit(const Mul *op) override {
        arithmetic(op, [](double a, double b) { return a * b; },
                   [](int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); });
    }
    void visit(const Div *op) override {
        arithmetic(op, [](double a, double b) { return a / b; }, euclidean_div);
    }
    void visit(const Mod *op) override {
        arithmetic(op, [](double a, double b) { return a - b * std::floor(a / b); }, euclidean_mod);
    }
    // A NaN in the second operand wins, one in the first is dropped: as a < b ? a : b does.
    void visit(const Min *op) override {
        arithmetic(op, [](double a, double b) { return a < b ? a : b; },
                   [](int64_t a, int64_t b) { return a < b ? a : b; });
    }
    void visit(const Max *op) override {
        arithmetic(op, [](double a, double b) { return a > b ? a : b; },
                   [](int64_t a, int64_t b) { return a > b ? a : b; });
    }
    void visit(const EQ *op) override { comparison(op, [](auto a, auto b) { return a == b; }); }
    void visit(const NE *op) override { comparison(op, [](auto a, auto b) { return a != b; }); }
    void visit(const LT *op) override { comparison(op, [](auto a, auto b) { return a < b; }); }
    void visit(const LE *op) override { comparison(op, [](auto a, auto b) { return a <= b; }); }
    void visit(const GT *op) override { comparison(op, [](auto a, auto b) { return a > b; }); }
    void visit(const GE *op) override { comparison(op, [](auto a, auto b) { return a >= b; }); }
    void visit(const And *op) override {
        arithmetic(op, [](double, double) { return 0.0; }, [](int64_t a, int64_t b) { return a & b; });
    }
    void visit(const Or *op) override {
        arithmetic(op, [](double, double) { return 0.0; }, [](int64_t a, int64_t b) { return a | b; });
    }
    // clang-format on
    void visit(const Not *op) override {
        result = evaluate(op->a);
        for (int64_t &x : result.i) {
            x = !x;
        }
    }
    void visit(const Select *op) override {
        const Lanes c = evaluate(op->condition), t = evaluate(op->true_value), f = evaluate(op->false_value);
        Lanes r = f;
        for (size_t p = 0; p < n; p++) {
            if (c.i[p] && r.type.is_float()) {
                r.f[p] = t.f[p];
            } else if (c.i[p]) {
                r.i[p] = t.i[p];
            }
        }
        result = r;
    }
    void visit(const Let *op) override {
        lets[op->name] = evaluate(op->value);
        result = evaluate(op->body);
    }

    void visit(const Call *op) override {
        std::vector<Lanes> args;
        for (const Expr &a : op->args) {
            args.push_back(evaluate(a));
        }
        if (op->call_type == Call::Image) {
            Lanes r = make(op->type);
            if (!meaning.load || !meaning.load(*op, args, r)) {
                strobe_internal_error() << "no input is known as " << op->name;
            }
            result = r;
        } else if (!(op->type.is_float() ? float_call(op, args) : integer_call(op, args))) {
            strobe_internal_error() << "the interpreter does not know " << Expr(op);
        }
    }

    bool float_call(const Call *op, const std::vector<Lanes> &args);
    bool integer_call(const Call *op, const std::vector<Lanes> &args);
    /** Intrinsics that only carry hints. */
    bool pass_through(const Call *op, const std::vector<Lanes> &args) {
        if (!op->is_intrinsic(
                {Call::likely, Call::likely_if_innermost, Call::unsafe_promise_clamped, Call::promise_clamped})) {
            return false;
        }
        result = args[0];
        return true;
    }

    template<typename F>
    bool on_floats(const Call *op, F f) {
        Lanes r = make(op->type);
        for (size_t p = 0; p < n; p++) {
            r.f[p] = store(op->type, f(p));
        }
        result = r;
        return true;
    }

    template<typename F>
    bool on_integers(const Call *op, F f) {
        Lanes r = make(op->type);
        for (size_t p = 0; p < n; p++) {
            r.i[p] = wrapped_to(op->type, f(p));
        }
        result = r;
        return true;
    }

public:
    explicit Evaluator(const Meaning &meaning) : meaning(meaning), n(meaning.points) {
    }

    Lanes evaluate(const Expr &e) {
        if (lets.empty()) {
            auto found = known.find(e.get());
            if (found != known.end()) {
                return found->second;
            }
        }
        e.accept(this);
        if (lets.empty()) {
            known[e.get()] = result;
        }
        return result;
    }
};

bool Evaluator::float_call(const Call *op, const std::vector<Lanes> &args) {
    if (pass_through(op, args)) {
        return true;
    }
    if (op->is_intrinsic(Call::abs)) {
        return on_floats(op, [&](size_t p) { return std::abs(args[0].f[p]); });
    } else if (op->is_intrinsic(Call::strict_add)) {
        return on_floats(op, [&](size_t p) { return args[0].f[p] + args[1].f[p]; });
    } else if (op->is_intrinsic(Call::strict_sub)) {
        return on_floats(op, [&](size_t p) { return args[0].f[p] - args[1].f[p]; });
    } else if (op->is_intrinsic(Call::strict_mul)) {
        return on_floats(op, [&](size_t p) { return args[0].f[p] * args[1].f[p]; });
    } else if (op->is_intrinsic(Call::strict_div)) {
        return on_floats(op, [&](size_t p) { return args[0].f[p] / args[1].f[p]; });
    } else if (op->is_intrinsic(Call::absd)) {
        return on_floats(op, [&](size_t p) { return std::abs(args[0].f[p] - args[1].f[p]); });
    } else if (op->is_intrinsic(Call::if_then_else) && args.size() == 3) {
        return on_floats(op, [&](size_t p) { return args[0].i[p] ? args[1].f[p] : args[2].f[p]; });
    }
    const std::string name = function_name(op->name);
    if (args.empty() && (name == "inf" || name == "neg_inf" || name == "nan")) {
        const double x = name == "nan" ? std::nan("") : INFINITY;
        return on_floats(op, [&](size_t) { return name == "neg_inf" ? -x : x; });
    }
    if (auto f = unary_functions.find(name); f != unary_functions.end() && args.size() == 1) {
        return on_floats(op, [&](size_t p) { return f->second(args[0].f[p]); });
    }
    if (auto f = binary_functions.find(name); f != binary_functions.end() && args.size() == 2) {
        return on_floats(op, [&](size_t p) { return f->second(args[0].f[p], args[1].f[p]); });
    }
    return false;
}

bool Evaluator::integer_call(const Call *op, const std::vector<Lanes> &args) {
    if (pass_through(op, args)) {
        return true;
    }
    const auto a = [&](size_t p) { return args[0].i[p]; };
    const auto b = [&](size_t p) { return args[1].i[p]; };
    const int bits = op->type.bits();
    if (op->is_intrinsic(Call::abs)) {
        return on_integers(op, [&](size_t p) { return std::abs(a(p)); });
    } else if (op->is_intrinsic(Call::absd)) {
        return on_integers(op, [&](size_t p) { return std::abs(a(p) - b(p)); });
    } else if (op->is_intrinsic(Call::bitwise_and)) {
        return on_integers(op, [&](size_t p) { return a(p) & b(p); });
    } else if (op->is_intrinsic(Call::bitwise_or)) {
        return on_integers(op, [&](size_t p) { return a(p) | b(p); });
    } else if (op->is_intrinsic(Call::bitwise_xor)) {
        return on_integers(op, [&](size_t p) { return a(p) ^ b(p); });
    } else if (op->is_intrinsic(Call::bitwise_not)) {
        return on_integers(op, [&](size_t p) { return ~a(p); });
    } else if (op->is_intrinsic(Call::shift_left)) {
        return on_integers(op, [&](size_t p) { return b(p) < bits ? (int64_t)((uint64_t)a(p) << b(p)) : 0; });
    } else if (op->is_intrinsic(Call::shift_right)) {
        return on_integers(op, [&](size_t p) { return a(p) >> std::min<int64_t>(b(p), 63); });
    } else if (op->is_intrinsic(Call::div_round_to_zero)) {
        return on_integers(op, [&](size_t p) { return b(p) == 0 ? 0 : a(p) / b(p); });
    } else if (op->is_intrinsic(Call::mod_round_to_zero)) {
        return on_integers(op, [&](size_t p) { return b(p) == 0 ? 0 : a(p) % b(p); });
    } else if (op->is_intrinsic(Call::if_then_else) && args.size() == 3) {
        return on_integers(op, [&](size_t p) { return a(p) ? b(p) : args[2].i[p]; });
    }
    const std::string name = function_name(op->name);
    if (name == "is_nan") {
        return on_integers(op, [&](size_t p) { return std::isnan(args[0].f[p]); });
    } else if (name == "is_inf") {
        return on_integers(op, [&](size_t p) { return std::isinf(args[0].f[p]); });
    } else if (name == "is_finite") {
        return on_integers(op, [&](size_t p) { return std::isfinite(args[0].f[p]); });
    }
    return false;
}

}  // namespace

Lanes converted_to(Type type, const Lanes &lanes, Arithmetic arithmetic) {
    if (type == lanes.type) {
        return lanes;
    }
    Lanes r(type, lanes.size());
    for (size_t p = 0; p < lanes.size(); p++) {
        if (type.is_float()) {
            const double x = lanes.type.is_uint() ? (double)(uint64_t)lanes.i[p] : lanes.as_double(p);
            r.f[p] = arithmetic == Arithmetic::Exact ? x : rounded_to(type, x);
        } else if (type.is_bool()) {
            r.i[p] = lanes.as_double(p) != 0;
        } else {
            r.i[p] = wrapped_to(type, lanes.type.is_float() ? truncated(lanes.f[p]) : lanes.i[p]);
        }
    }
    return r;
}

Lanes evaluate_expr(const Expr &e, const Meaning &meaning) {
    return Evaluator(meaning).evaluate(e);
}

}  // namespace strobe
