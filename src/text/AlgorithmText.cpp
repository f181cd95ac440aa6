#include "AlgorithmText.h"

#include "Json.h"
#include "TextExprs.h"
#include "support/NearestName.h"

#include <algorithm>

namespace strobe {

using namespace Halide;

namespace {

constexpr int64_t version = 1;

class TextReader {
    TextAlgorithm result;
    std::vector<ImageParam> images;
    std::map<std::string, Expr> scalars, named_sizes;

    TextSize size(const Json &json) const;
    void unique(const Json &json, std::vector<std::string> &taken) const;
    void read_tensors(const Json &json);
    void read_scalars(const Json &json);
    TextTensor tensor(const Json &json);
    void read_function(const Json &json, TextScope &scope);
    std::vector<Var> read_arguments(const Json &json, TextScope &scope, std::vector<TextSize> &sizes);
    RDom read_domain(const Json &json, TextScope &scope);
    void read_output(const Json &json, TextScope &scope);
    Expr extent(const TextSize &size, const Json &json) const;

public:
    TextAlgorithm read(const Json &json);
};

TextSize TextReader::size(const Json &json) const {
    TextSize s;
    if (json->is_string()) {
        s.name = json.identifier();
    } else if (!json->is_null()) {
        s.constant = json.integer(1, INT32_MAX);
    }
    return s;
}

void TextReader::unique(const Json &json, std::vector<std::string> &taken) const {
    const std::string &name = json.identifier();
    if (std::count(taken.begin(), taken.end(), name)) {
        json.refuse("there are two of the name " + name);
    }
    taken.push_back(name);
}

/** Declares what the text says of a buffer's bounds. All strides are free. */
template<typename Buffer>
void declare(Buffer &&buffer, const TextTensor &t) {
    for (int d = 0; d < int(t.sizes.size()); d++) {
        if (t.sizes[d].is_constant()) {
            buffer.dim(d).set_bounds(0, int(t.sizes[d].constant));
        } else {
            buffer.dim(d).set_min(0);
        }
    }
    if (!t.sizes.empty()) {
        buffer.dim(0).set_stride(Expr());
    }
}

TextTensor TextReader::tensor(const Json &json) {
    TextTensor t;
    t.name = json.at("name").identifier();
    t.type = text_type(json.at("type"));
    const Json sizes = json.at("sizes");
    sizes.array(1, max_text_rank);
    for (size_t d = 0; d < sizes.size(); d++) {
        t.sizes.push_back(size(sizes.at(d)));
    }
    return t;
}

void TextReader::read_tensors(const Json &json) {
    json.array(1, max_text_tensors);
    std::vector<std::string> taken;
    for (size_t n = 0; n < json.size(); n++) {
        unique(json.at(n).object({"name", "type", "sizes"}).at("name"), taken);
        const TextTensor t = tensor(json.at(n));
        // A bool is a byte in memory.
        images.emplace_back(t.type.is_bool() ? UInt(8) : t.type, int(t.sizes.size()), t.name);
        declare(images.back(), t);
        for (int d = 0; d < int(t.sizes.size()); d++) {
            if (!t.sizes[d].name.empty()) {
                named_sizes.emplace(t.sizes[d].name, images.back().dim(d).extent());
            }
        }
        result.tensors.push_back(t);
        result.parameters.push_back(images.back().parameter());
    }
}

void TextReader::read_scalars(const Json &json) {
    json.array(0, max_text_tensors);
    std::vector<std::string> taken;
    for (const TextTensor &t : result.tensors) {
        taken.push_back(t.name);
    }
    for (size_t n = 0; n < json.size(); n++) {
        const Json item = json.at(n);
        unique(item.object({"name", "type", "min", "max"}).at("name"), taken);
        TextScalar s;
        s.name = item.at("name").identifier();
        s.type = text_type(item.at("type"));
        if (s.type != Float(32) && s.type != Int(32)) {
            item.at("type").refuse("a scalar is a float32 or an int32; pass a tensor for others");
        }
        Parameter p(s.type, false, 0, s.name);
        if (item.has("min")) {
            s.min = item.at("min").number();
            p.set_min_value(cast(s.type, Internal::make_const(Float(64), *s.min)));
        }
        if (item.has("max")) {
            s.max = item.at("max").number();
            p.set_max_value(cast(s.type, Internal::make_const(Float(64), *s.max)));
        }
        scalars[s.name] = Internal::Variable::make(s.type, s.name, p);
        result.scalars.push_back(s);
        result.parameters.push_back(p);
    }
}

Expr TextReader::extent(const TextSize &size, const Json &json) const {
    if (size.is_constant()) {
        return Expr(int(size.constant));
    }
    auto it = named_sizes.find(size.name);
    if (it == named_sizes.end()) {
        std::vector<std::string> known;
        for (const auto &[name, e] : named_sizes) {
            known.push_back(name);
        }
        json.refuse(size.name.empty() ? "an axis needs a size: a constant or the name of one" :
                                        "no tensor has a dimension of size " + size.name +
                                            suggestion_for(size.name, known));
    }
    return it->second;
}

std::vector<Var> TextReader::read_arguments(const Json &json, TextScope &scope, std::vector<TextSize> &sizes) {
    json.array(1, max_text_rank);
    std::vector<Var> vars;
    std::vector<std::string> taken;
    for (size_t n = 0; n < json.size(); n++) {
        const Json item = json.at(n);
        item.array(2, 2);
        unique(item.at(0), taken);
        const TextSize s = size(item.at(1));
        extent(s, item.at(1));
        vars.emplace_back(item.at(0).string());
        sizes.push_back(s);
        scope.axes[item.at(0).string()] = {vars.back(), s};
    }
    return vars;
}

RDom TextReader::read_domain(const Json &json, TextScope &scope) {
    json.array(1, 4);
    Region ranges;
    std::vector<TextSize> sizes;
    for (size_t n = 0; n < json.size(); n++) {
        const Json item = json.at(n);
        item.array(2, 2);
        sizes.push_back(size(item.at(1)));
        ranges.emplace_back(0, extent(sizes.back(), item.at(1)));
        if (scope.axes.count(item.at(0).identifier())) {
            item.at(0).refuse("there are two axes of the name " + item.at(0).string());
        }
    }
    // One dimension takes the name; more get a suffix from Halide.
    RDom domain(ranges, json.at(0).at(0).string());
    for (size_t n = 0; n < json.size(); n++) {
        scope.axes[json.at(n).at(0).string()] = {domain[int(n)], sizes[n]};
    }
    return domain;
}

/** f = f (op) value. */
void reduce(Func &f, const std::vector<Var> &vars, const Json &op, const Expr &value) {
    static const std::vector<std::string> known = {"sum", "product", "max", "min", "and", "or"};
    const std::string &name = op.string();
    const Type type = value.type();
    const bool logical = name == "and" || name == "or";
    if (!std::count(known.begin(), known.end(), name)) {
        op.refuse("there is no reduction " + name.substr(0, 64) + suggestion_for(name, known));
    }
    if (logical != type.is_bool()) {
        std::ostringstream why;
        why << name << " reduces " << (logical ? "bools" : "numbers") << ", got " << type;
        op.refuse(why.str());
    }
    if (name == "sum") {
        f(vars) += value;
    } else if (name == "product") {
        f(vars) *= value;
    } else if (name == "max") {
        f(vars) = type.is_float() ? cast(type, -std::numeric_limits<float>::infinity()) : type.min();
        f(vars) = max(f(vars), value);
    } else if (name == "min") {
        f(vars) = type.is_float() ? cast(type, std::numeric_limits<float>::infinity()) : type.max();
        f(vars) = min(f(vars), value);
    } else if (name == "and") {
        f(vars) = Internal::const_true();
        f(vars) = f(vars) && value;
    } else {
        f(vars) = Internal::const_false();
        f(vars) = f(vars) || value;
    }
}

void TextReader::read_function(const Json &json, TextScope &scope) {
    json.object({"name", "args", "over", "reduce", "let", "value"});
    const std::string &name = json.at("name").identifier();
    if (scope.functions.count(name)) {
        json.at("name").refuse("there are two functions of the name " + name);
    }
    scope.axes.clear();
    scope.lets.clear();
    std::vector<TextSize> sizes;
    const std::vector<Var> vars = read_arguments(json.at("args"), scope, sizes);
    if (json.has("over") != json.has("reduce")) {
        json.refuse("\"over\" and \"reduce\" belong together");
    }
    if (json.has("over")) {
        read_domain(json.at("over"), scope);
    }
    if (json.has("let")) {
        const Json lets = json.at("let");
        lets.array(0, max_text_nodes);
        for (size_t n = 0; n < lets.size(); n++) {
            const std::string &let = lets.at(n).array(2, 2).at(0).identifier();
            if (scope.axes.count(let) || scope.lets.count(let)) {
                lets.at(n).at(0).refuse("there are two values of the name " + let);
            }
            scope.lets[let] = read_text_expr(lets.at(n).at(1), scope);
        }
    }
    const Expr value = read_text_expr(json.at("value"), scope).value;
    Func f(name);
    if (json.has("reduce")) {
        reduce(f, vars, json.at("reduce"), value);
    } else {
        f(vars) = value;
    }
    scope.functions[name] = {f, sizes};
}

void TextReader::read_output(const Json &json, TextScope &scope) {
    const std::string &name = json.identifier();
    auto it = scope.functions.find(name);
    if (it == scope.functions.end()) {
        json.refuse("there is no function " + name);
    }
    for (const TextTensor &known : result.outputs) {
        if (known.name == name) {
            json.refuse(name + " is an output twice");
        }
    }
    Func f = it->second.func;
    const TextTensor t{name, f.type(), it->second.sizes};
    if (t.type.is_bool()) {
        json.refuse(name + " is a bool; cast it to uint8");
    }
    declare(f.output_buffer(), t);
    result.outputs.push_back(t);
    result.funcs.push_back(f);
}

TextAlgorithm TextReader::read(const Json &json) {
    json.object({"strobe", "name", "tensors", "scalars", "funcs", "outputs"});
    if (json.at("strobe").integer(0, INT32_MAX) != version) {
        json.at("strobe").refuse("this is version " + std::to_string(version) + " of the format");
    }
    result.name = json.at("name").identifier();
    read_tensors(json.at("tensors"));
    if (json.has("scalars")) {
        read_scalars(json.at("scalars"));
    }
    TextScope scope{result, images, scalars, named_sizes, {}, {}, {}, {}, 0};
    const Json funcs = json.at("funcs");
    funcs.array(1, 256);
    for (size_t n = 0; n < funcs.size(); n++) {
        read_function(funcs.at(n), scope);
    }
    const Json outputs = json.at("outputs");
    outputs.array(1, 16);
    for (size_t n = 0; n < outputs.size(); n++) {
        read_output(outputs.at(n), scope);
    }
    result.requirements = scope.requirements;
    result.pipeline = Pipeline(result.funcs);
    return result;
}

/** Refuses nesting that would overrun the stack, before anything recurses. */
void check_nesting(const std::string &text) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t n = 0; n < text.size(); n++) {
        const char c = text[n];
        if (quoted) {
            n += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            strobe_user_assert(++depth <= max_text_depth + 8)
                << "algorithm text: nested more than " << max_text_depth << " deep at byte " << n;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        }
    }
}

}  // namespace

std::vector<Argument> TextAlgorithm::arguments() const {
    std::vector<Argument> args;
    for (const Parameter &p : parameters) {
        args.emplace_back(p.name(), p.is_buffer() ? Argument::InputBuffer : Argument::InputScalar, p.type(),
                          p.dimensions(), p.get_argument_estimates());
    }
    return args;
}

TextAlgorithm read_algorithm_text(const std::string &text) {
    strobe_user_assert(text.size() <= max_text_bytes)
        << "algorithm text: " << text.size() << " bytes; legal are at most " << max_text_bytes;
    check_nesting(text);
    nlohmann::json json;
    try {
        json = nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception &e) {
        strobe_user_error() << "algorithm text: not JSON: " << e.what();
    }
    return TextReader().read(Json(json, ""));
}

}  // namespace strobe
