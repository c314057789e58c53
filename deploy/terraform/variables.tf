variable "source_bucket" {
  description = "The bucket of the images. It is there already, and nothing in it is ever written."
  type        = string
}

variable "state_bucket" {
  description = "The bucket to make, for the record of each image, and for an index that is a Lance table."
  type        = string
}

variable "name" {
  description = "What the names of the queue and of the roles begin with."
  type        = string
  default     = "objseek"
}

variable "oidc_provider_arn" {
  description = "The OIDC provider of the cluster whose service accounts take the roles."
  type        = string
}

variable "namespace" {
  description = "The namespace of these service accounts."
  type        = string
  default     = "objseek"
}

variable "send_events" {
  description = "Whether the images' bucket is told to send its events to the queue. This replaces all notifications that it has: with others, set it to false, and add the queue to them."
  type        = bool
  default     = true
}
