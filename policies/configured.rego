# METADATA
# title: How the settings are read
# description: >-
#   Each setting is looked up by its key and never searched through, so a decision costs the same with ten tools and with
#   ten thousand. A setting of a form that nobody understands must never read like one that is not there.
#
#   `type_name(x)` alone asks whether x is there, whatever it is: it holds for false and null, too.
#
#   Throughout the policies `not` stands before a rule's name, a comparison with `==`, or a call whose arguments are known to
#   be there. Before any other call it is a trap: where an argument is undefined, OPA finds the whole rule undefined and the
#   embedded engine finds it true.
#
#   Packages are imported for their functions and settings only, and rules of other packages written in full: of an imported
#   package whose rule is named the embedded engine evaluates every rule. Functions write the settings in full, too: in a
#   function that another package calls, it does not always find what an import names.
package sealgate.configured

# METADATA
# title: The key of a setting's entry for all tools of the upstream
upstream_key := concat("", [input.resource.properties.upstream, "__*"])

# METADATA
# title: An object with no other members than these
formed(value, members) if {
	is_object(value)
	count(object.keys(value) - members) == 0
}
