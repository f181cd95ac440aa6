#include "Shape.h"

#include "schedule/AxisSize.h"
#include "schedule/ResolveNames.h"
#include "support/Error.h"
#include "support/NearestName.h"

#include <sstream>

namespace strobe {

namespace {

/** The axes that a letter stands for; empty if it is none. */
std::vector<std::string> axes_of_letter(const std::string &letter, const Roles &roles) {
    std::map<std::string, std::vector<std::string>> letters = {{"S", {roles.query, roles.stream}},
                                                               {"Sq", {roles.query}},
                                                               {"Sk", {roles.stream}},
                                                               {"D", roles.inner},
                                                               {"Dv", roles.features}};
    letters["D"].insert(letters["D"].end(), roles.features.begin(), roles.features.end());
    for (size_t i = 0; i < roles.batch.size() && i < 2; i++) {
        letters[i ? "B" : "H"] = {roles.batch[i]};
    }
    return letters[letter];
}

double number_in(const std::string &item, const std::string &value) {
    char *end = nullptr;
    const double number = strtod(value.c_str(), &end);
    strobe_user_assert(!value.empty() && *end == 0)
        << "In shape: " << item << " is not NAME=NUMBER; write, for example, S=16384 D=64 H=16";
    return number;
}

}  // namespace

Shape parse_shape(const std::string &text, const ReductionGraph &graph, const Roles &roles) {
    Shape shape;
    std::vector<std::string> axes, known = {"S", "Sq", "Sk", "D", "Dv", "H", "B"};
    for (const Axis &a : graph.axes) {
        axes.push_back(a.name);
    }
    const std::vector<std::string> scalars = scalars_of(graph);
    std::map<std::string, int64_t> by_letter;
    std::istringstream stream(text);
    for (std::string item; stream >> item;) {
        const size_t equals = std::min(item.find('='), item.size());
        const std::string name = item.substr(0, equals);
        const double number = number_in(item, equals < item.size() ? item.substr(equals + 1) : "");
        const std::string axis = resolve_name(name, axes, "axis").name, scalar = resolve_name(name, scalars, "").name;
        if (axis.empty() && !scalar.empty()) {
            shape.scalars[scalar] = number;
            continue;
        }
        const std::vector<std::string> meant = axis.empty() ? axes_of_letter(name, roles) : std::vector{axis};
        known.insert(known.end(), axes.begin(), axes.end());
        known.insert(known.end(), scalars.begin(), scalars.end());
        strobe_user_assert(!meant.empty())
            << "In shape: " << name << " is no axis or scalar input of the algorithm" << suggestion_for(name, known);
        strobe_user_assert(number >= 1 && number <= 1e12 && number == (double)(int64_t)number)
            << "In shape: " << item << ": a size is a whole number from 1";
        for (const std::string &a : meant) {
            // Dv after D, Sk after S: the narrower letter wins whatever the order.
            const bool wide = name == "S" || name == "D";
            if (!wide || !by_letter.count(a)) {
                shape.sizes[a] = (int64_t)number;
            }
            by_letter[a] += !wide && axis.empty();
            if (by_letter[a] == 0) {
                by_letter.erase(a);
            }
        }
    }
    return shape;
}

Shape complete_shape(const Shape &shape, const ReductionGraph &graph, const Roles &roles) {
    Shape full = shape;
    auto fill = [&](const std::string &axis, int64_t otherwise) {
        if (!axis.empty() && !full.sizes.count(axis)) {
            full.sizes[axis] = known_size(graph, axis).value_or(otherwise);
        }
    };
    fill(roles.query, 8192);
    fill(roles.stream, 8192);
    for (size_t i = 0; i < roles.batch.size(); i++) {
        fill(roles.batch[i], i == 0 ? 16 : i == 1 ? 2 : 1);
    }
    for (const Axis &a : graph.axes) {
        fill(a.name, 64);
    }
    for (const auto &[name, value] : scalar_defaults(graph)) {
        full.scalars.emplace(name, value);
    }
    return full;
}

namespace {

/** Some input has an element for each row and key. */
bool reads_pairs(const ReductionGraph &graph, const Roles &roles) {
    class Find : public Halide::Internal::IRGraphVisitor {
        using IRGraphVisitor::visit;
        void visit(const Halide::Internal::Call *op) override {
            const std::vector<std::string> used = axes_of(graph, op);
            const auto has = [&](const std::string &a) { return std::find(used.begin(), used.end(), a) != used.end(); };
            found |= op->call_type == Halide::Internal::Call::Image && has(roles.query) && has(roles.stream);
            IRGraphVisitor::visit(op);
        }
        const ReductionGraph &graph;
        const Roles &roles;

    public:
        bool found = false;
        Find(const ReductionGraph &graph, const Roles &roles) : graph(graph), roles(roles) {
        }
    } find(graph, roles);
    for (const Reduction &r : graph.reductions) {
        r.body.accept(&find);
    }
    return find.found;
}

}  // namespace

std::vector<Shape> typical_shapes(const ReductionGraph &graph, const Roles &roles) {
    std::vector<Shape> shapes;
    const bool pairs = reads_pairs(graph, roles);
    for (int64_t length : pairs ? std::vector<int64_t>{256, 1024, 4096} : std::vector<int64_t>{1024, 4096, 16384}) {
        Shape shape;
        for (const std::string &axis : {roles.query, roles.stream}) {
            if (!axis.empty() && !declared_size(graph, axis, false)) {
                shape.sizes[axis] = length;
            }
        }
        if (roles.batch.size() > 1 && !declared_size(graph, roles.batch[1], false)) {
            shape.sizes[roles.batch[1]] = 16384 / length;
        }
        shapes.push_back(shape);
    }
    return shapes;
}

std::string to_string(const Shape &shape) {
    std::ostringstream text;
    for (const auto &[axis, size] : shape.sizes) {
        text << (text.tellp() > 0 ? " " : "") << base_name(axis) << "=" << size;
    }
    for (const auto &[name, value] : shape.scalars) {
        text << " " << base_name(name) << "=" << value;
    }
    return text.str();
}

}  // namespace strobe
