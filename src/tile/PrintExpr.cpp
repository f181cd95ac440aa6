#include "PrintExpr.h"

#include <cmath>
#include <limits>
#include <cstdlib>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** How tightly an operator binds; an operand that binds less is put in parentheses. */
enum Binding { Loosest = 0, Disjunction, Conjunction, Relation, Sum, Term, Atom };

/** The shortest text that reads back as x in its type; "lowest" for the least finite number. */
std::string number_text(double x, Type type) {
    if (std::isinf(x)) {
        return x > 0 ? "inf" : "-inf";
    }
    if (x == (type.bits() == 64 ? std::numeric_limits<double>::lowest() : std::numeric_limits<float>::lowest())) {
        return "lowest";
    }
    std::ostringstream text;
    for (int digits = 6; digits <= 17; digits++) {
        text.str("");
        text.precision(digits);
        text << x;
        const double back = std::strtod(text.str().c_str(), nullptr);
        if (back == x || (type.bits() <= 32 && (float)back == (float)x)) {
            break;
        }
    }
    return text.str();
}

class Printer : public IRVisitor {
    using IRVisitor::visit;
    std::string text;
    Binding binding = Atom;

    std::string operand(const Expr &e, Binding at_least) {
        Printer printer;
        e.accept(&printer);
        return printer.binding < at_least ? "(" + printer.text + ")" : printer.text;
    }

    template<typename Op>
    void infix(const Op *op, const char *sign, Binding own, Binding left, Binding right) {
        text = operand(op->a, left) + " " + sign + " " + operand(op->b, right);
        binding = own;
    }

    void call(const std::string &name, const std::vector<Expr> &args, const char *open = "(", const char *close = ")") {
        text = name + open;
        for (size_t i = 0; i < args.size(); i++) {
            text += (i ? ", " : "") + operand(args[i], Loosest);
        }
        text += close;
        binding = Atom;
    }

    void visit(const IntImm *op) override {
        text = std::to_string(op->value);
    }
    void visit(const UIntImm *op) override {
        text = op->type.is_bool() ? (op->value ? "true" : "false") : std::to_string(op->value);
    }
    void visit(const FloatImm *op) override {
        text = number_text(op->value, op->type);
    }
    void visit(const Variable *op) override {
        text = op->name;
    }
    void visit(const Cast *op) override {
        call(type_text(op->type), {op->value});
    }
    void visit(const Add *op) override {
        const auto constant = as_const_int(op->b);
        if (constant && *constant < 0) {
            text = operand(op->a, Sum) + " - " + std::to_string(-*constant);
            binding = Sum;
            return;
        }
        infix(op, "+", Sum, Sum, Sum);
    }
    void visit(const Sub *op) override {
        if (is_const_zero(op->a)) {
            text = "-" + operand(op->b, Atom);
            binding = Term;
        } else {
            infix(op, "-", Sum, Sum, Term);
        }
    }
    void visit(const Mul *op) override {
        infix(op, "*", Term, Term, Term);
    }
    void visit(const Div *op) override {
        infix(op, "/", Term, Term, Atom);
    }
    void visit(const Mod *op) override {
        infix(op, "%", Term, Term, Atom);
    }
    void visit(const EQ *op) override {
        infix(op, "==", Relation, Sum, Sum);
    }
    void visit(const NE *op) override {
        infix(op, "!=", Relation, Sum, Sum);
    }
    void visit(const LT *op) override {
        infix(op, "<", Relation, Sum, Sum);
    }
    void visit(const LE *op) override {
        infix(op, "<=", Relation, Sum, Sum);
    }
    void visit(const GT *op) override {
        infix(op, ">", Relation, Sum, Sum);
    }
    void visit(const GE *op) override {
        infix(op, ">=", Relation, Sum, Sum);
    }
    void visit(const And *op) override {
        infix(op, "&&", Conjunction, Conjunction, Conjunction);
    }
    void visit(const Or *op) override {
        infix(op, "||", Disjunction, Conjunction, Conjunction);
    }
    void visit(const Not *op) override {
        text = "!" + operand(op->a, Atom);
    }
    void visit(const Min *op) override {
        call("min", {op->a, op->b});
    }
    void visit(const Max *op) override {
        call("max", {op->a, op->b});
    }
    void visit(const Select *op) override {
        call("select", {op->condition, op->true_value, op->false_value});
    }
    void visit(const Let *op) override {
        text = "let " + op->name + " = " + operand(op->value, Loosest) + " in " + operand(op->body, Loosest);
        binding = Loosest;
    }
    void visit(const Call *op) override {
        if (op->call_type == Call::Image) {
            call(op->name, op->args, "[", "]");
            return;
        }
        std::string name = op->name;
        for (const char *suffix : {"_f16", "_f32", "_f64"}) {
            if (name.size() > 4 && name.compare(name.size() - 4, 4, suffix) == 0) {
                name.resize(name.size() - 4);
            }
        }
        call(name, op->args);
    }

public:
    static std::string print(const Expr &e) {
        Printer printer;
        e.accept(&printer);
        return printer.text;
    }
};

}  // namespace

std::string expr_text(const Expr &e) {
    return e.defined() ? Printer::print(e) : "undefined";
}

std::string type_text(Type type) {
    std::ostringstream text;
    text << type;
    return text.str();
}

}  // namespace strobe
