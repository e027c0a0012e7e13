# Builds all images with buildx:
#
#   SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) TAG=$(git rev-parse --short=12 HEAD) \
#       docker buildx bake -f compose/docker-bake.hcl
#
# The variables are those of compose/images, which builds the same images with the classic builder. The Dockerfiles
# have defaults for empty ones.
variable "REGISTRY" { default = "proofsheet" }
variable "TAG" { default = "latest" }
variable "REVISION" { default = TAG }
variable "RUST" { default = "" }
variable "BASE" { default = "" }
variable "BASE_DATABASE" { default = "" }
variable "GARAGE" { default = "" }
# The ports of the services.
variable "SERVICES" {
  default = {
    # each service: {name} = "{port}"
    profile = "5000"
    authentication = "5001"
    photo = "5002"
    vote = "5003"
    comment = "5004"
    # end
  }
}

function "given" {
  params = [value]
  result = value != "" ? value : null
}

group "default" {
  targets = ["image"]
}

target "programs" {
  dockerfile = "compose/build.Dockerfile"
  args       = { RUST = given(RUST) }
}

# The images copy the programs from the build image. backup is based on the database's image.
target "image" {
  name       = image
  matrix     = { image = concat(keys(SERVICES), ["router", "database", "backup", "objects"]) }
  context    = "compose"
  dockerfile = contains(keys(SERVICES), image) ? "services.Dockerfile" : "${image}.Dockerfile"
  contexts   = { for name in image == "backup" ? ["programs", "database"] : ["programs"] : "proofsheet/${name}" => "target:${name}" }
  args = {
    REVISION = REVISION
    BASE     = given(lookup({ database = BASE_DATABASE, backup = "" }, image, BASE))
    GARAGE   = image == "objects" ? given(GARAGE) : null
    SERVICE  = contains(keys(SERVICES), image) ? image : null
    PORT     = given(lookup(SERVICES, image, ""))
  }
  tags = ["${REGISTRY}/${image}:${TAG}", "${REGISTRY}/${image}:latest"]
}
