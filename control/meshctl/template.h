// The part of Go's text/template that people use with docker's --format, on JSON values.
//
//   {{.Name}} {{.Spec.Labels.tier}} {{json .}} {{index .Labels "a-b"}} {{(index .Ports 0).Port}} {{len .Ports}}
//   {{upper .State}} {{lower …}} {{title …}} {{join .List ", "}} {{println …}} {{.Image | upper}} {{"text"}}
//   {{if .X}}…{{else}}…{{end}} {{range .List}}…{{else}}…{{end}} {{with .X}}…{{end}} {{eq .A "b"}} {{ne …}} {{not …}}
//   {{- trims blanks around -}}, {{$}} is the whole value.
//
// A member that is not there prints as <no value>.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mesh::meshctl {

class Template {
 public:
  // kInvalid names the action that is not understood. `\t` and `\n` written as two characters mean tab and line end.
  [[nodiscard]] static Result<Template> parse(std::string_view text);
  [[nodiscard]] Result<std::string> render(const Json& value) const;

  struct Node;

 private:
  std::shared_ptr<const std::vector<Node>> nodes_;
};

}  // namespace mesh::meshctl
