#include "TextExprs.h"

#include "support/NearestName.h"

#include <algorithm>
#include <functional>

namespace strobe {

using namespace Halide;

namespace {

using Build = std::function<Expr(const std::vector<Expr> &)>;

enum class Takes { Numbers, Floats, Integers, Booleans };

struct Operation {
    size_t least, most;  // operands
    Takes takes;
    Build build;
};

Expr sigmoid(const Expr &x) {
    return 1.0f / (1.0f + exp(-x));
}

/** Rounds to the smaller quotient; Halide's own division leaves a remainder that is not negative. */
Expr floor_divide(const Expr &a, const Expr &b) {
    const Expr quotient = a / b;
    auto positive = Internal::as_const_int(Internal::simplify(b));
    if (positive && *positive > 0) {
        return quotient;
    }
    return select(b < 0 && quotient * b != a, quotient - 1, quotient);
}

Expr floor_modulo(const Expr &a, const Expr &b) {
    auto positive = Internal::as_const_int(Internal::simplify(b));
    if (positive && *positive > 0) {
        return a % b;
    }
    return a - floor_divide(a, b) * b;
}

template<typename Op>
Operation fold(Takes takes, Op op) {
    return {2, 64, takes, [op](const std::vector<Expr> &v) {
                Expr result = v[0];
                for (size_t n = 1; n < v.size(); n++) {
                    result = op(result, v[n]);
                }
                return result;
            }};
}

template<typename Op>
Operation one(Takes takes, Op op) {
    return {1, 1, takes, [op](const std::vector<Expr> &v) { return op(v[0]); }};
}

template<typename Op>
Operation two(Takes takes, Op op) {
    return {2, 2, takes, [op](const std::vector<Expr> &v) { return op(v[0], v[1]); }};
}

#define STROBE_UNARY(f) one(Takes::Floats, [](const Expr &x) { return Halide::f(x); })

const std::map<std::string, Operation> &operations() {
    static const std::map<std::string, Operation> table = {
        {"add", fold(Takes::Numbers, [](const Expr &a, const Expr &b) { return a + b; })},
        {"mul", fold(Takes::Numbers, [](const Expr &a, const Expr &b) { return a * b; })},
        {"min", fold(Takes::Numbers, [](const Expr &a, const Expr &b) { return min(a, b); })},
        {"max", fold(Takes::Numbers, [](const Expr &a, const Expr &b) { return max(a, b); })},
        {"and", fold(Takes::Booleans, [](const Expr &a, const Expr &b) { return a && b; })},
        {"or", fold(Takes::Booleans, [](const Expr &a, const Expr &b) { return a || b; })},
        {"not", one(Takes::Booleans, [](const Expr &a) { return !a; })},
        {"sub", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a - b; })},
        {"div", two(Takes::Floats, [](const Expr &a, const Expr &b) { return a / b; })},
        {"floordiv", two(Takes::Integers, floor_divide)},
        {"mod", two(Takes::Integers, floor_modulo)},
        {"pow", two(Takes::Floats, [](const Expr &a, const Expr &b) { return pow(a, b); })},
        {"neg", one(Takes::Numbers, [](const Expr &a) { return -a; })},
        {"abs", one(Takes::Numbers, [](const Expr &a) { return cast(a.type(), abs(a)); })},
        {"lt", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a < b; })},
        {"le", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a <= b; })},
        {"gt", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a > b; })},
        {"ge", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a >= b; })},
        {"eq", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a == b; })},
        {"ne", two(Takes::Numbers, [](const Expr &a, const Expr &b) { return a != b; })},
        {"bitand", two(Takes::Integers, [](const Expr &a, const Expr &b) { return a & b; })},
        {"bitor", two(Takes::Integers, [](const Expr &a, const Expr &b) { return a | b; })},
        {"bitxor", two(Takes::Integers, [](const Expr &a, const Expr &b) { return a ^ b; })},
        {"shl", two(Takes::Integers, [](const Expr &a, const Expr &b) { return a << b; })},
        {"shr", two(Takes::Integers, [](const Expr &a, const Expr &b) { return a >> b; })},
        {"exp", STROBE_UNARY(exp)},
        {"log", STROBE_UNARY(log)},
        {"sqrt", STROBE_UNARY(sqrt)},
        {"sin", STROBE_UNARY(sin)},
        {"cos", STROBE_UNARY(cos)},
        {"tan", STROBE_UNARY(tan)},
        {"tanh", STROBE_UNARY(tanh)},
        {"atan", STROBE_UNARY(atan)},
        {"erf", STROBE_UNARY(erf)},
        {"floor", STROBE_UNARY(floor)},
        {"ceil", STROBE_UNARY(ceil)},
        {"round", STROBE_UNARY(round)},
        {"trunc", STROBE_UNARY(trunc)},
        {"sigmoid", one(Takes::Floats, sigmoid)},
    };
    return table;
}

class ExprReader {
    TextScope &scope;
    size_t depth = 0, height = 0;

    Expr constant(const Json &json);
    Expr load(const Json &json);
    Expr call(const Json &json);
    Expr group(const Json &json);
    Expr selection(const Json &json);
    Expr operation(const Json &json, const std::string &name);
    Expr reference(const Json &json);

    /** The axis that an index is, or null. */
    const TextScope::Axis *plain_axis(const Json &json) const;
    void check_operand(const Json &json, const Operation &op, const Expr &e, const Expr &first) const;

public:
    explicit ExprReader(TextScope &s)
        : scope(s) {
    }
    Expr read(const Json &json);
    TextScope::Let read_whole(const Json &json) {
        Expr value = read(json);
        return {value, height};
    }
    Expr read_index(const Json &json);
};

const TextScope::Axis *ExprReader::plain_axis(const Json &json) const {
    if (!json->is_string()) {
        return nullptr;
    }
    auto it = scope.axes.find(json.string());
    return it == scope.axes.end() ? nullptr : &it->second;
}

Expr ExprReader::reference(const Json &json) {
    const std::string &name = json.identifier();
    if (const TextScope::Axis *axis = plain_axis(json)) {
        return axis->value;
    }
    auto let = scope.lets.find(name);
    if (let == scope.lets.end()) {
        std::vector<std::string> known;
        for (const auto &[axis, value] : scope.axes) {
            known.push_back(axis);
        }
        for (const auto &[other, value] : scope.lets) {
            known.push_back(other);
        }
        json.refuse(name + " is neither an axis nor a let of this function" + suggestion_for(name, known));
    }
    height = std::max(height, depth + let->second.height);
    if (height > max_text_height) {
        json.refuse("nested more than " + std::to_string(max_text_height) + " deep, lets included");
    }
    return let->second.value;
}

Expr ExprReader::constant(const Json &json) {
    json.array(3, 3);
    const Type type = text_type(json.at(1));
    const Json value = json.at(2);
    if (type.is_bool()) {
        if (!value->is_boolean()) {
            value.refuse("a bool is true or false");
        }
        return Internal::make_const(type, value->get<bool>() ? 1 : 0);
    }
    if (type.is_float()) {
        return cast(type, Internal::make_const(Float(64), value.number()));
    }
    const int64_t least = type.is_int() ? (type.bits() == 64 ? INT64_MIN : -(int64_t(1) << (type.bits() - 1))) : 0;
    const int64_t most = type.bits() == 64 ? INT64_MAX : (int64_t(1) << (type.bits() - (type.is_int() ? 1 : 0))) - 1;
    return Internal::make_const(type, value.integer(least, most));
}

Expr ExprReader::read_index(const Json &json) {
    const Expr index = read(json);
    if (!index.type().is_int_or_uint() || index.type().is_bool()) {
        json.refuse("an index is a whole number; cast it");
    }
    return index;
}

/** An axis that walks the dimension indexes it plainly; anything else is held inside. */
Expr ExprReader::load(const Json &json) {
    const std::string &name = json.array(2, 2 + max_text_rank).at(1).identifier();
    const std::vector<TextTensor> &tensors = scope.algorithm.tensors;
    size_t t = 0;
    std::vector<std::string> known;
    for (; t < tensors.size() && tensors[t].name != name; t++) {
        known.push_back(tensors[t].name);
    }
    if (t == tensors.size()) {
        json.at(1).refuse("there is no tensor " + name + suggestion_for(name, known));
    }
    if (json.size() != tensors[t].sizes.size() + 2) {
        json.refuse(name + " has " + std::to_string(tensors[t].sizes.size()) + " dimensions, got " +
                    std::to_string(json.size() - 2) + " indices");
    }
    std::vector<Expr> args;
    for (size_t d = 0; d < tensors[t].sizes.size(); d++) {
        const Json index = json.at(d + 2);
        const TextSize &size = tensors[t].sizes[d];
        const bool grouped = index->is_array() && index.size() == 4 && index.at(0)->is_string() &&
                             index.at(0).string() == "group" && index.at(3)->is_string() &&
                             index.at(3).string() == size.name;
        Expr arg = read_index(index);
        if (const TextScope::Axis *axis = plain_axis(index)) {
            if (!(axis->size == size)) {
                TextRequirement r;
                r.tensor = t;
                r.dim = d;
                r.least = axis->size;
                scope.requirements.push_back(r);
            }
        } else if (!grouped) {
            const Expr last = scope.images[t].dim(int(d)).extent() - 1;
            arg = cast<int32_t>(clamp(arg, cast(arg.type(), 0), cast(arg.type(), last)));
        }
        args.push_back(arg);
    }
    const Expr element = scope.images[t](args);
    return tensors[t].type.is_bool() ? element != 0 : element;
}

Expr ExprReader::call(const Json &json) {
    const std::string &name = json.array(2, 2 + max_text_rank).at(1).identifier();
    auto it = scope.functions.find(name);
    if (it == scope.functions.end()) {
        std::vector<std::string> known;
        for (const auto &[f, function] : scope.functions) {
            known.push_back(f);
        }
        json.at(1).refuse("there is no function " + name + " before this one" + suggestion_for(name, known));
    }
    const TextScope::Function &f = it->second;
    if (json.size() != f.sizes.size() + 2) {
        json.refuse(name + " has " + std::to_string(f.sizes.size()) + " arguments, got " +
                    std::to_string(json.size() - 2));
    }
    std::vector<Expr> args;
    for (size_t n = 0; n < f.sizes.size(); n++) {
        const Json index = json.at(n + 2);
        const TextScope::Axis *axis = plain_axis(index);
        if (!axis || !(axis->size == f.sizes[n])) {
            index.refuse("argument " + std::to_string(n) + " of " + name +
                         " must be an axis of the same size: functions are called where they are computed");
        }
        args.push_back(axis->value);
    }
    return f.func(args);
}

/** ["group", index, "H", "Hk"]: the one of Hk that serves this one of H; H is a multiple of Hk. */
Expr ExprReader::group(const Json &json) {
    json.array(4, 4);
    TextRequirement r;
    r.kind = TextRequirement::Kind::MultipleOf;
    r.name = json.at(2).identifier();
    r.divisor = json.at(3).identifier();
    const TextScope::Axis *axis = plain_axis(json.at(1));
    if (!axis || axis->size.name != r.name) {
        json.at(1).refuse("expected an axis of size " + r.name);
    }
    for (size_t n : {2, 3}) {
        if (!scope.named_sizes.count(json.at(n).string())) {
            json.at(n).refuse("no tensor has a dimension of size " + json.at(n).string());
        }
    }
    scope.requirements.push_back(r);
    return axis->value / (scope.named_sizes.at(r.name) / scope.named_sizes.at(r.divisor));
}

Expr ExprReader::selection(const Json &json) {
    json.array(4, 4);
    const Expr condition = read(json.at(1)), yes = read(json.at(2)), no = read(json.at(3));
    if (!condition.type().is_bool()) {
        json.at(1).refuse("a condition is a bool; compare it with something");
    }
    if (yes.type() != no.type()) {
        std::ostringstream types;
        types << "both values of a select have one type; got " << yes.type() << " and " << no.type() << "; cast one";
        json.refuse(types.str());
    }
    return select(condition, yes, no);
}

void ExprReader::check_operand(const Json &json, const Operation &op, const Expr &e, const Expr &first) const {
    const Type t = e.type();
    const bool integer = t.is_int_or_uint() && !t.is_bool();
    const bool fits = op.takes == Takes::Floats     ? t.is_float()
                      : op.takes == Takes::Integers ? integer
                      : op.takes == Takes::Booleans ? t.is_bool()
                                                    : t.is_float() || integer;
    std::ostringstream why;
    if (!fits) {
        static const char *const wanted[] = {"numbers", "floating-point numbers", "whole numbers", "bools"};
        why << "takes " << wanted[int(op.takes)] << ", got " << t << "; cast it";
        json.refuse(why.str());
    }
    if (t != first.type()) {
        why << "all operands have one type; got " << first.type() << " and " << t << "; cast one";
        json.refuse(why.str());
    }
}

Expr ExprReader::operation(const Json &json, const std::string &name) {
    auto it = operations().find(name);
    if (it == operations().end()) {
        std::vector<std::string> known = {"const", "scalar", "size", "load", "call", "group", "select", "cast"};
        for (const auto &[op, operation] : operations()) {
            known.push_back(op);
        }
        json.at(0).refuse("there is no operation " + name.substr(0, 64) + suggestion_for(name, known));
    }
    const Operation &op = it->second;
    json.array(op.least + 1, op.most + 1);
    std::vector<Expr> operands;
    for (size_t n = 1; n < json.size(); n++) {
        operands.push_back(read(json.at(n)));
        check_operand(json.at(n), op, operands.back(), operands[0]);
    }
    return op.build(operands);
}

Expr ExprReader::read(const Json &json) {
    if (++scope.nodes > max_text_nodes) {
        json.refuse("more than " + std::to_string(max_text_nodes) + " operations");
    }
    if (json->is_string()) {
        return reference(json);
    }
    const std::string &name = json.array(1, 65).at(0).string();
    if (++depth > max_text_depth) {
        json.refuse("nested more than " + std::to_string(max_text_depth) + " deep; use lets");
    }
    height = std::max(height, depth);
    Expr result;
    if (name == "const") {
        result = constant(json);
    } else if (name == "load") {
        result = load(json);
    } else if (name == "call") {
        result = call(json);
    } else if (name == "group") {
        result = group(json);
    } else if (name == "select") {
        result = selection(json);
    } else if (name == "cast") {
        result = cast(text_type(json.array(3, 3).at(1)), read(json.at(2)));
    } else if (name == "scalar" || name == "size") {
        const std::string &wanted = json.array(2, 2).at(1).identifier();
        const auto &known = name == "scalar" ? scope.scalars : scope.named_sizes;
        auto it = known.find(wanted);
        if (it == known.end()) {
            json.at(1).refuse("there is no " + name + " " + wanted);
        }
        result = it->second;
    } else {
        result = operation(json, name);
    }
    depth--;
    return result;
}

}  // namespace

const std::map<std::string, Type> &text_types() {
    static const std::map<std::string, Type> types = {
        {"float16", Float(16)}, {"bfloat16", BFloat(16)}, {"float32", Float(32)}, {"float64", Float(64)},
        {"int8", Int(8)},       {"int16", Int(16)},       {"int32", Int(32)},     {"int64", Int(64)},
        {"uint8", UInt(8)},     {"uint16", UInt(16)},     {"uint32", UInt(32)},   {"bool", Bool()},
    };
    return types;
}

Type text_type(const Json &json) {
    const std::map<std::string, Type> &types = text_types();
    auto it = types.find(json.string());
    if (it == types.end()) {
        std::vector<std::string> known;
        for (const auto &[name, type] : types) {
            known.push_back(name);
        }
        json.refuse("there is no type " + json.string().substr(0, 64) + suggestion_for(json.string(), known));
    }
    return it->second;
}

TextScope::Let read_text_expr(const Json &json, TextScope &scope) {
    return ExprReader(scope).read_whole(json);
}

}  // namespace strobe
